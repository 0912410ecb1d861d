/** Every word of the page, English and French. `{name}` stands for a value. */

export type Language = "en" | "fr";

export const words = {
  on: ["on", "sur"],
  "language-other": ["Français", "English"],
  "theme-dark": ["Dark", "Sombre"],
  "theme-light": ["Light", "Clair"],
  "theme-switch": ["Light or dark", "Clair ou sombre"],

  "lead-generate": [
    "A generator that has seen {images} images. It runs here, in your browser: nothing is sent anywhere.",
    "Un générateur qui a vu {images} images. Il tourne ici, dans votre navigateur : rien n’est envoyé nulle part.",
  ],
  "lead-translate": [
    "A network that makes one picture from another, and has seen {images} pairs. It runs here, in your browser: nothing is sent anywhere.",
    "Un réseau qui fait une image d’une autre, et qui a vu {images} paires. Il tourne ici, dans votre navigateur : rien n’est envoyé nulle part.",
  ],
  "lead-change": [
    "A network that shows what a picture would be with another {attribute}, and has seen {images} images. It runs here, in your browser: nothing is sent anywhere.",
    "Un réseau qui montre ce que serait une image avec un autre attribut ({attribute}), et qui a vu {images} images. Il tourne ici, dans votre navigateur : rien n’est envoyé nulle part.",
  ],

  loading: ["Loading the model …", "Chargement du modèle…"],
  starting: ["Starting the model …", "Démarrage du modèle…"],
  ready: ["Ready.", "Prêt."],
  took: ["Made in {time} ms.", "Fait en {time} ms."],

  "no-simd": [
    "This browser has no WebAssembly SIMD, which the network needs. Take a recent Chrome, Edge, Firefox or Safari (16.4 or later).",
    "Ce navigateur n’a pas WebAssembly SIMD, qu’il faut au réseau. Prenez un Chrome, Edge, Firefox ou Safari récent (16.4 ou plus).",
  ],
  "no-files": [
    "A file that belongs to this page did not come ({detail}). The whole folder has to be served: run `python -m http.server` in it, or export again with --single for one file that opens by itself.",
    "Un fichier de cette page n’est pas arrivé ({detail}). Il faut servir tout le dossier : lancez-y `python -m http.server`, ou exportez de nouveau avec --single pour un seul fichier qui s’ouvre tel quel.",
  ],
  "no-model": [
    "The model does not load ({detail}). The file may be damaged: check the folder with `zerosum load-check`, and export it again.",
    "Le modèle ne se charge pas ({detail}). Le fichier est peut-être abîmé : vérifiez le dossier avec `zerosum load-check`, puis exportez de nouveau.",
  ],
  "no-answer": [
    "The network gave no answer ({detail}). Reload the page; with little memory, close other tabs first.",
    "Le réseau n’a pas répondu ({detail}). Rechargez la page ; si la mémoire manque, fermez d’abord d’autres onglets.",
  ],
  "no-picture": [
    "This file is no picture that the browser can read. Give a PNG, JPEG or WebP.",
    "Ce fichier n’est pas une image que le navigateur sait lire. Donnez un PNG, un JPEG ou un WebP.",
  ],
  "no-map": [
    "This file holds numbers that are no classes of this network. It takes {detail}.",
    "Ce fichier contient des nombres qui ne sont pas des classes de ce réseau. Il prend {detail}.",
  ],

  board: ["Seeds", "Graines"],
  "board-lead": [
    "Each image hangs on its seed alone: the same number gives the same image here and on the command line. There are seeds 0 to {last}. Pick one to change it.",
    "Chaque image ne dépend que de sa graine : le même nombre donne la même image ici et en ligne de commande. Les graines vont de 0 à {last}. Choisissez-en une pour la modifier.",
  ],
  previous: ["Previous", "Précédentes"],
  next: ["Next", "Suivantes"],
  shuffle: ["Shuffle", "Mélanger"],
  "go-to": ["Seed", "Graine"],
  "seed-n": ["Seed {seed}", "Graine {seed}"],
  "board-keys": [
    "Images by seed. Arrow keys move, Enter picks.",
    "Images par graine. Les flèches déplacent, Entrée choisit.",
  ],

  asked: ["What to make", "Que faire"],
  yes: ["yes", "oui"],
  no: ["no", "non"],
  "as-drawn": ["as the seed draws", "au gré de la graine"],
  "as-drawn-value": ["by seed: {value}", "par la graine : {value}"],
  truncation: ["Truncation", "Troncature"],
  "truncation-lead": [
    "Scales the latent: below 1, more typical and less varied.",
    "Multiplie le latent : sous 1, plus typique et moins varié.",
  ],
  directions: ["Directions", "Directions"],
  "directions-lead": [
    "In standard deviations of the latents along each.",
    "En écarts types des latents le long de chacune.",
  ],
  "direction-n": ["Direction {number}", "Direction {number}"],
  reset: ["Reset", "Remettre à zéro"],
  download: ["Download PNG", "Télécharger le PNG"],

  between: ["Between two", "Entre deux"],
  "between-lead": [
    "A walk from one latent to another. If everything on the way looks like the data, the generator has learnt more than its examples.",
    "Une marche d’un latent à un autre. Si tout, en chemin, ressemble aux données, le générateur a appris plus que ses exemples.",
  ],
  from: ["From seed", "De la graine"],
  to: ["To seed", "À la graine"],
  "take-picked": ["Take picked", "Prendre la choisie"],
  way: ["Along the way", "En chemin"],
  percent: ["{share} of the way", "{share} du chemin"],

  arithmetic: ["Arithmetic", "Arithmétique"],
  "arithmetic-lead": [
    "Averages of latents, subtracted and added: smiling woman − woman + man. Three seeds in each place, so that the sum is as long as a latent is.",
    "Des moyennes de latents, soustraites et ajoutées : femme souriante − femme + homme. Trois graines à chaque place, pour que la somme ait la longueur d’un latent.",
  ],
  "add-seed": ["Add a seed", "Ajouter une graine"],
  "add-picked": ["Add picked", "Ajouter la choisie"],
  "remove-seed": ["Remove seed {seed}", "Retirer la graine {seed}"],
  "slot-n": ["Seeds of {slot}", "Graines de {slot}"],
  result: ["Result", "Résultat"],
  empty: ["Give each place a seed.", "Donnez une graine à chaque place."],

  draw: ["Draw", "Dessinez"],
  given: ["A picture", "Une image"],
  made: ["What the network makes of it", "Ce que le réseau en fait"],
  parts: ["What the network sees in it", "Ce que le réseau y voit"],
  "draw-keys": [
    "Arrow keys move the pen, Space puts it down and lifts it.",
    "Les flèches déplacent le crayon, Espace le pose et le lève.",
  ],
  canvas: ["Canvas to draw on", "Toile à dessin"],
  tool: ["Tool", "Outil"],
  pen: ["Pen", "Crayon"],
  eraser: ["Eraser", "Gomme"],
  fill: ["Fill", "Remplir"],
  size: ["Size", "Taille"],
  colour: ["Colour", "Couleur"],
  class: ["Class", "Classe"],
  background: ["Background", "Fond"],
  undo: ["Undo", "Annuler"],
  clear: ["Clear", "Effacer"],
  "cover-all": ["Cover all", "Tout couvrir"],
  "own-colour": ["Any colour", "Couleur au choix"],
  drop: ["Drop a picture here, or choose a file", "Déposez une image ici, ou choisissez un fichier"],
  "drop-note": [
    "It is brought to {width} × {height} pixels, and does not leave this browser.",
    "Elle est ramenée à {width} × {height} pixels, et ne quitte pas ce navigateur.",
  ],
  examples: ["Examples", "Exemples"],
  "example-n": ["Example {number}", "Exemple {number}"],
  "examples-note": [
    "Drawn by the program; not in the training data.",
    "Dessinés par le programme ; absents des données d’entraînement.",
  ],
  look: ["Look", "Apparence"],
  waiting: ["Give a picture first.", "Donnez d’abord une image."],

  values: ["Every {attribute}", "Pour chaque valeur ({attribute})"],
  itself: ["The picture itself", "L’image elle-même"],
  "value-of": ["{attribute}: {value}", "{attribute} : {value}"],

  far: [
    "It has not learnt enough yet: its samples are still far from the real images ({score} {value}, where other real images have {floor}).",
    "Il n’a pas encore assez appris : ses échantillons sont encore loin des images réelles ({score} {value}, là où d’autres images réelles ont {floor}).",
  ],
  half: [
    "Its weights are rounded to 16 bits: images may differ a little from those of the run.",
    "Ses poids sont arrondis à 16 bits : les images peuvent différer un peu de celles de l’entraînement.",
  ],
  footer: [
    "Made with zerosum {version}. Generated images show what a network learnt from its data, and no real thing or person.",
    "Fait avec zerosum {version}. Les images générées montrent ce qu’un réseau a appris de ses données, et rien ni personne de réel.",
  ],
} as const satisfies Record<string, readonly [string, string]>;

export type Word = keyof typeof words;
