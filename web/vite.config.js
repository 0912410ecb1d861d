import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// Fixed names and no page of Vite's own: zerosum/export/page.py writes the page around these files.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  worker: { format: "iife" }, // a page that was opened as a file may start no module in a worker
  logLevel: "warn",
  build: {
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    emptyOutDir: true,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      input: "src/main.ts",
      output: { entryFileNames: "app.js", assetFileNames: "app[extname]", codeSplitting: false },
    },
  },
});
