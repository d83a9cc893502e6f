#!/usr/bin/env node
// Builds what npm installs. The usage below tells the rest.

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = resolve(here, "..", "..");
const manifest = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));

const usage = `Builds what npm installs: the package ${manifest.name}, and one with the binary for each platform. Needs Go and npm.

    node kits/javascript/build_packages.js --platform here

    --dist DIR                where they go; dist
    --platform linux-x64      only this one, again for more; here is this machine
    --version 1.2.3           of all packages and of the binaries
    --binary PATH             carry this binary in place of compiling one; with one --platform`;

// Go's names by Node's. No libc is named: the binary is static.
const platforms = {
  "linux-x64": ["linux", "amd64"],
  "linux-arm64": ["linux", "arm64"],
  "darwin-x64": ["darwin", "amd64"],
  "darwin-arm64": ["darwin", "arm64"],
  "win32-x64": ["windows", "amd64"],
  "win32-arm64": ["windows", "arm64"],
};

function main() {
  const { values } = parseArgs({
    options: {
      dist: { type: "string", default: "dist" },
      platform: { type: "string", multiple: true, default: Object.keys(platforms) },
      version: { type: "string", default: manifest.version },
      binary: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return console.log(usage);
  const wanted = values.platform.map((name) => (name === "here" ? `${process.platform}-${process.arch}` : name));
  const unknown = wanted.find((name) => !(name in platforms));
  if (unknown) throw new Error(`--platform: ${unknown} is not one of ${Object.keys(platforms).join(", ")}`);
  if (values.binary && wanted.length !== 1) throw new Error("--binary is for one platform: say --platform");
  mkdirSync(values.dist, { recursive: true });
  inDirectory((directory) => packKit(directory, values));
  for (const name of wanted) inDirectory((directory) => packBinary(directory, name, values));
}

function inDirectory(work) {
  const directory = mkdtempSync(join(tmpdir(), "evhub-pack-"));
  try {
    work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function packKit(directory, { dist, version }) {
  cpSync(here, directory, { recursive: true, filter: (file) => !/[\\/](test|node_modules|build_packages\.js)$/.test(file) });
  copyFileSync(join(root, "LICENSE"), join(directory, "LICENSE"));
  writeManifest(directory, { ...manifest, version });
  pack(directory, dist);
}

function packBinary(directory, name, { dist, version, binary }) {
  const [goos, goarch] = platforms[name];
  const [os, cpu] = name.split("-");
  const file = join("bin", goos === "windows" ? "evhub.exe" : "evhub");
  mkdirSync(join(directory, "bin"));
  if (binary) copyFileSync(binary, join(directory, file));
  else compile(join(directory, file), goos, goarch, version);
  copyFileSync(join(root, "LICENSE"), join(directory, "LICENSE"));
  writeManifest(directory, {
    name: `@evhub/binary-${name}`,
    version,
    description: `The evhub binary for ${name}, which ${manifest.name} finds`,
    license: manifest.license,
    os: [os],
    cpu: [cpu],
    bin: { evhub: file.replace("\\", "/") },
    files: ["bin"],
  });
  pack(directory, dist);
}

function compile(output, goos, goarch, version) {
  const env = { ...process.env, CGO_ENABLED: "0", GOOS: goos, GOARCH: goarch };
  execFileSync("go", ["build", "-trimpath", "-ldflags", `-s -w -X main.release=${version}`, "-o", output, "./cmd/evhub"], {
    cwd: root,
    env,
    stdio: "inherit",
  });
}

function writeManifest(directory, content) {
  writeFileSync(join(directory, "package.json"), JSON.stringify(content, null, 2) + "\n");
}

/** npm makes what is named under bin executable. On Windows npm is a script, which needs a shell. */
function pack(directory, dist) {
  const shell = process.platform === "win32";
  const words = ["pack", directory, "--pack-destination", dist, "--loglevel=error"];
  execFileSync("npm", shell ? words.map((word) => `"${word}"`) : words, { stdio: ["ignore", "inherit", "inherit"], shell });
}

try {
  main();
} catch (error) {
  console.error(`build_packages.js: ${error.message}`);
  process.exitCode = 1;
}
