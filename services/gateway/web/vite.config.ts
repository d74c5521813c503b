import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The budget is held by build.py, which measures what this makes.
export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
    // The console is a document of its own: a chat loads nothing of it.
    rolldownOptions: { input: { index: "index.html", console: "console.html" } },
  },
  server: {
    // `npm run dev` against a mesh that `everthread up` runs; the session wants requests of its own address.
    proxy: Object.fromEntries(
      ["/v1", "/api", "/session", "/openapi.json"].map((path) => [path, { target: "http://127.0.0.1:8080", changeOrigin: false }]),
    ),
  },
});
