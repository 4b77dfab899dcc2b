// Bundles GraphiQL with everything it needs (code, styles, fonts) into graphiql/dist, so that the page makes no request
// to any other host. dist is committed: building Belfry needs Go only. Run it with `npm ci && npm run build` in web/.
import { build } from 'esbuild';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');

rmSync(dist, { recursive: true, force: true });

const { metafile } = await build({
  absWorkingDir: dirname(here),
  entryPoints: { graphiql: 'graphiql/src/main.jsx' },
  outdir: dist,
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none', // their full licences are in LICENSES.txt instead
  metafile: true,
  logLevel: 'info',
});

writeFileSync(join(dist, 'LICENSES.txt'), licences(Object.keys(metafile.inputs)));

// licences collects the licence text of every package that went into the bundle: most of them ask for it.
function licences(inputs) {
  const packages = new Set();
  for (const path of inputs) {
    const match = path.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//);
    if (match) packages.add(match[1]);
  }
  return [...packages].sort().map((folder) => {
    const root = join(dirname(here), folder);
    const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const file = existsSync(root) && readdirSync(root).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? readFileSync(join(root, file), 'utf8').trim() : `Licence: ${license}`;
    return `${name} ${version}\n${'-'.repeat(72)}\n${text}\n`;
  }).join('\n\n');
}
