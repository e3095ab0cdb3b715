// The native sources: addon/sources.txt lists them per target, for both builds.
//
//   node scripts/sources.mjs write              writes the list from what the folders hold
//   node scripts/sources.mjs check              fails when list and folders differ
//   node scripts/sources.mjs addon|child|supervisor   what binding.gyp asks for: one path a line
//   node scripts/sources.mjs include            … the folder of the Node-API headers
//   node scripts/sources.mjs static-link        … the strongest static link that works here
//   node scripts/sources.mjs codec-defines      … the codecs that are here, as macros
//   node scripts/sources.mjs codec-libraries    … and as libraries
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const addon = join(root, 'addon');
const list = join(addon, 'sources.txt');

const HEADER = `# The native sources, per target, read by addon/CMakeLists.txt and by binding.gyp.
# Written by \`npm run sources\`; a unit test compares it with the folders.
`;

// The target of each folder of addon/. base/ and the rest are headers.
const TARGETS = { binding: 'addon', child: 'child', init: 'child' };

export function listed() {
  return readFileSync(list, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
}

export function found() {
  const lines = [];
  for (const folder of readdirSync(addon, { withFileTypes: true })) {
    if (!folder.isDirectory() || folder.name === 'gyp') continue;
    for (const name of readdirSync(join(addon, folder.name), { recursive: true })) {
      if (!name.endsWith('.cc')) continue;
      lines.push(`${TARGETS[folder.name] ?? 'supervisor'}: ${folder.name}/${name}`);
    }
  }
  return lines.sort();
}

/** Whether a program can be made of these lines and libraries. */
function links(lines, ...args) {
  const folder = mkdtempSync(join(tmpdir(), 'caisson-link-'));
  const source = join(folder, 'probe.cc');
  writeFileSync(source, lines);
  try {
    const compiler = process.env.CXX ?? 'c++';
    execFileSync(compiler, ['-fPIE', '-o', join(folder, 'probe'), source, ...args], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function staticLink() {
  const lines =
    '#include <vector>\nint main(int c, char**) { return static_cast<int>(std::vector<int>(c).size()); }\n';
  return ['-static-pie', '-static'].find((kind) => links(lines, kind)) ?? '-pie';
}

// As in addon/CMakeLists.txt.
const CODECS = [
  {
    define: 'CAISSON_ZLIB',
    library: '-lz',
    lines: '#include <zlib.h>\nint main() { return inflateEnd(nullptr) == 0; }\n',
    packages: 'Debian: zlib1g-dev, Fedora: zlib-static, Alpine: zlib-dev zlib-static',
  },
  {
    define: 'CAISSON_ZSTD',
    library: '-lzstd',
    lines: '#include <zstd.h>\nint main() { return static_cast<int>(ZSTD_freeDCtx(nullptr)); }\n',
    packages: 'Debian: libzstd-dev, Fedora: libzstd-static, Alpine: zstd-dev zstd-static',
  },
];

/** What layers are compressed with. Without one of them the rest works. */
function codecs() {
  const kind = staticLink();
  return CODECS.filter(({ define, library, lines, packages }) => {
    if (links(lines, kind, library)) return true;
    console.error(
      `Without ${define} (${packages}) layers that are compressed with it cannot be unpacked.`,
    );
    return false;
  });
}

function main(what) {
  switch (what) {
    case 'write':
      writeFileSync(list, `${HEADER}${found().join('\n')}\n`);
      return;
    case 'check':
      if (listed().join() === found().join()) return;
      console.error('addon/sources.txt is not what addon/ holds: npm run sources');
      process.exitCode = 1;
      return;
    case 'include': {
      const require = createRequire(process.env.CAISSON_BUILD_TOOLS ?? import.meta.url);
      console.log(require('node-api-headers').include_dir);
      return;
    }
    case 'static-link':
      console.log(staticLink());
      return;
    case 'codec-defines':
      console.log(
        codecs()
          .map(({ define }) => define)
          .join(' '),
      );
      return;
    case 'codec-libraries':
      console.log(
        codecs()
          .map(({ library }) => library)
          .join(' '),
      );
      return;
    default:
      for (const line of listed()) {
        const [target, path] = line.split(': ');
        if (target === what) console.log(`addon/${path}`);
      }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv[2]);
