// Draws faces: node dicebear.mjs FOLDER < OPTIONS, where FOLDER/node_modules holds the packages of dicebear. It reads a list of
// options of the style avataaars in JSON, and writes a list of drawings in SVG, in JSON too.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

async function main() {
  const packages = path.join(process.argv[2], "node_modules", "@dicebear");
  const load = (name) => import(pathToFileURL(path.join(packages, name, "lib", "index.js")).href);
  const { createAvatar } = await load("core");
  const avataaars = await load("avataaars");
  const faces = JSON.parse(fs.readFileSync(0, "utf8"));
  process.stdout.write(JSON.stringify(faces.map((options) => createAvatar(avataaars, options).toString())));
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
