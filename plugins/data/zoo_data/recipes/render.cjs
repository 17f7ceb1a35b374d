// Draws SVG files, without fonts: node render.cjs FOLDER_OF_RESVG WIDTH FOLDER draws FOLDER/NAME.svg as FOLDER/NAME.png.
const fs = require("fs");
const path = require("path");
const [packageFolder, width, folder] = process.argv.slice(2);
const resvg = require(path.join(packageFolder, "index.js"));

async function main() {
  await resvg.initWasm(fs.readFileSync(path.join(packageFolder, "index_bg.wasm")));
  const options = { fitTo: { mode: "width", value: Number(width) }, font: { loadSystemFonts: false } };
  for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".svg"))) {
    const { name } = path.parse(file);
    const drawn = new resvg.Resvg(fs.readFileSync(path.join(folder, file)), options).render();
    fs.writeFileSync(path.join(folder, `${name}.png`), drawn.asPng());
  }
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
