import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Served by the collector at /app, from dist/, which is kept in the repository: nobody needs Node to run it.
export default defineConfig({
  base: "/app/",
  plugins: [react()],
  build: { target: "es2022", sourcemap: false, chunkSizeWarningLimit: 600 },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/features": "http://127.0.0.1:8080" } },
});
