// What a build of the native part needs of the machine: a C++23 compiler, make, and cmake or (for
// node-gyp) python3. What it can do without, but should not: zlib and libzstd, static. Root on Debian or Ubuntu gets what is missing; anyone else is told the line to
// type. Plain Node without packages: this runs before `npm ci`, and from an installed package.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const PROBE = '#include <expected>\nint main() { return std::expected<int, int>(0).value(); }\n';
/** Debian's names of the codecs. */
const CODECS = 'zlib1g-dev libzstd-dev';
const COMPILERS = ['c++', 'g++', 'g++-15', 'g++-14', 'g++-13', 'g++-12'].concat([
  'clang++',
  'clang++-20',
  'clang++-19',
  'clang++-18',
  'clang++-17',
]);

function runs(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** The first compiler here that has what the sources use (std::expected); undefined when none has. */
export function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : COMPILERS;
  return candidates.find((name) => {
    const args = ['-std=c++23', '-fsyntax-only', '-x', 'c++', '-'];
    return (
      spawnSync(name, args, { input: PROBE, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0
    );
  });
}

/** Whether layers that are compressed can be unpacked with what is built here. */
function hasCodecs(compiler) {
  const lines = '#include <zlib.h>\n#include <zstd.h>\n';
  const args = ['-fsyntax-only', '-x', 'c++', '-'];
  return (
    spawnSync(compiler, args, { input: lines, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0
  );
}

/** What is here: which build can run, with which compiler, and what is missing for it. */
export function lookForTools() {
  const compiler = findCompiler();
  const cmake = runs('cmake', '--version');
  const make = runs('make', '--version');
  const python = runs('python3', '--version');
  const missing = [];
  if (compiler === undefined) missing.push('a C++ compiler with C++23 (g++ 12 or newer)');
  if (!make) missing.push('make');
  if (!cmake && !python) missing.push('cmake');
  return { compiler, missing, build: cmake ? 'cmake' : 'gyp' };
}

function osRelease() {
  try {
    return readFileSync('/etc/os-release', 'utf8');
  } catch {
    return '';
  }
}

/** The command that installs what a build needs on this distribution; undefined when unknown. */
function installLine(compilerPackage) {
  const os = osRelease();
  if (existsSync('/usr/bin/apt-get')) {
    return `apt-get install -y --no-install-recommends ${compilerPackage} make cmake ${CODECS}`;
  }
  if (/^ID(_LIKE)?=.*(fedora|rhel|centos)/m.test(os)) {
    return 'dnf install -y gcc-c++ make cmake glibc-static libstdc++-static zlib-static libzstd-static';
  }
  if (/^ID=alpine/m.test(os))
    return 'apk add g++ make cmake linux-headers zlib-dev zlib-static zstd-dev zstd-static';
  if (/^ID(_LIKE)?=.*arch/m.test(os)) return 'pacman -S --needed gcc make cmake zlib zstd';
  if (/^ID(_LIKE)?=.*suse/m.test(os))
    return 'zypper install -y gcc-c++ make cmake glibc-devel-static zlib-devel-static libzstd-devel-static';
  return undefined;
}

function aptGet(...args) {
  execFileSync('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-q', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

/** Looks, and as root on Debian or Ubuntu installs what is missing. Throws with what to type. */
export function ensureTools() {
  let tools = lookForTools();
  const apt = existsSync('/usr/bin/apt-get') && process.getuid() === 0;
  if (tools.missing.length > 0 && apt) {
    console.log(`Installing what the build needs: ${tools.missing.join(', ')}`);
    aptGet('update');
    // Ubuntu 22.04's g++ is version 11; its archive has 12 beside it.
    for (const compiler of ['g++', 'g++-12']) {
      aptGet('install', '-y', '--no-install-recommends', compiler, 'make', 'cmake');
      tools = lookForTools();
      if (tools.missing.length === 0) break;
    }
  }
  if (apt && tools.missing.length === 0 && !hasCodecs(tools.compiler)) {
    console.log(`Installing what layers are compressed with: ${CODECS}`);
    try {
      aptGet('install', '-y', '--no-install-recommends', ...CODECS.split(' '));
    } catch {
      // The build says what goes without it.
    }
  }
  if (tools.missing.length > 0) {
    const line = installLine(tools.compiler === undefined ? 'g++' : '');
    const what = `The build needs ${tools.missing.join(', ')}.`;
    throw new Error(
      line === undefined
        ? `${what} Install it and try again.`
        : `${what} Type this, then try again:\n\n  sudo ${line.replace(/ +/g, ' ')}\n`,
    );
  }
  return tools;
}
