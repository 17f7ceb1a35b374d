// Draws SVG files 256 pixels wide, without fonts: node render.cjs FOLDER_OF_RESVG OUTPUT A.svg B.svg … writes OUTPUT/0.png, 1.png, …
const fs = require("fs");
const path = require("path");
const [folder, output, ...drawings] = process.argv.slice(2);
const resvg = require(path.join(folder, "index.js"));

async function main() {
  await resvg.initWasm(fs.readFileSync(path.join(folder, "index_bg.wasm")));
  drawings.forEach((drawing, k) => {
    const options = { fitTo: { mode: "width", value: 256 }, font: { loadSystemFonts: false } };
    const drawn = new resvg.Resvg(fs.readFileSync(drawing), options).render();
    fs.writeFileSync(path.join(output, `${k}.png`), drawn.asPng());
  });
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
