import { defineConfig } from "vite";

// React without its plugin: esbuild compiles JSX itself, and a page of this size needs no hot reload.
export default defineConfig({
  esbuild: { jsx: "automatic" },
  // shaka-player is one chunk of 500 kB that is loaded when somebody plays.
  build: { target: "es2022", sourcemap: false, chunkSizeWarningLimit: 700, modulePreload: { polyfill: false } },
  server: {
    proxy: { "/v1": "http://127.0.0.1:8080" },
  },
});
