import { defineConfig } from "vite";

// `npm run dev` serves the console from here and asks a node on this machine for everything else.
const node = process.env.PEGASUS_NODE ?? "http://127.0.0.1:7070";

export default defineConfig({
  base: "/",
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 700 },
  // Tests read the clips in tests/media.
  server: { fs: { allow: [".."] }, proxy: { "/api": { target: node, ws: true }, "/hls": node } },
});
