/** Language and light of the page, remembered where the browser lets it. */

import { words, type Language, type Word } from "./words";

function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`zerosum.${key}`);
  } catch {
    return null;
  }
}

function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`zerosum.${key}`, value);
  } catch {
    // the choice lasts as long as the page
  }
}

const spoken = remembered("language") ?? navigator.language;
const dark = matchMedia("(prefers-color-scheme: dark)");
export const settings = $state({
  language: (spoken.toLowerCase().startsWith("fr") ? "fr" : "en") as Language,
  dark: remembered("theme") ? remembered("theme") === "dark" : dark.matches,
});
apply();

dark.addEventListener("change", ({ matches }) => {
  if (!remembered("theme")) settings.dark = matches;
  apply();
});

function apply(): void {
  document.documentElement.lang = settings.language;
  document.documentElement.dataset.theme = settings.dark ? "dark" : "light";
}

export function switchLanguage(): void {
  settings.language = settings.language === "en" ? "fr" : "en";
  remember("language", settings.language);
  apply();
}

export function switchTheme(): void {
  settings.dark = !settings.dark;
  remember("theme", settings.dark ? "dark" : "light");
  apply();
}

/** A sentence in the language of the page. */
export function say(word: Word, values: Record<string, string | number> = {}): string {
  const [english, french] = words[word];
  const sentence = settings.language === "en" ? english : french.replace(/ (?=[:;?!%])/g, "\u00a0");
  return sentence.replace(/\{(\w+)\}/g, (_, name: string) => shown(values[name]));
}

function shown(value: string | number): string {
  return typeof value === "number" ? value.toLocaleString(settings.language) : value;
}

export function percent(share: number): string {
  return share.toLocaleString(settings.language, { style: "percent", maximumFractionDigits: 0 });
}

/** A number with so many digits behind the point. */
export function decimal(value: number, digits = 1): string {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString(settings.language, options).replace("-", "−");
}
