// One addon for every libc: what the built files ask of the machine that loads them.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

import { nativeFile, SANITIZED } from '../../helpers/native.js';
import { missing, needs } from '../../helpers/needs.js';
import { tempFolder } from '../../helpers/temp.js';

const { describe, test } = needs('binding', 'compiler');

function readelf(...args: string[]): string {
  return execFileSync('readelf', ['--wide', ...args], { encoding: 'utf8' });
}

/** Names that the file wants from whoever loads it, with their versions where they carry one. */
function wanted(file: string): string[] {
  return readelf('--dyn-syms', file)
    .split('\n')
    .flatMap((line) => / UND (\S+)/.exec(line)?.[1] ?? []);
}

// Looked up by name in glibc and in musl alike; Node brings the rest.
const FROM_LIBC = `abort calloc clock_gettime clone close dup2 epoll_create1 epoll_ctl epoll_wait
  eventfd execve _exit fcntl flock free getpid getrlimit ioctl malloc memcpy memmove memset mmap mprotect
  munmap open pipe2 pread pthread_attr_destroy pthread_attr_init pthread_attr_setdetachstate
  pthread_attr_setstacksize pthread_create pthread_sigmask read realloc recvmsg sendmsg sigaddset
  sigemptyset sigfillset sigismember sigpending sigtimedwait snprintf socketpair strcmp strdup strlen
  strstr syscall sysconf tcgetattr waitid write __errno_location __stack_chk_fail __stack_chk_guard`.split(
  /\s+/,
);

describe.skipIf(SANITIZED)('caisson.node', () => {
  const addon = nativeFile('caisson.node')!;

  test('needs no library and no version of any', () => {
    expect(readelf('--dynamic', addon)).not.toContain('(NEEDED)');
    expect(readelf('--version-info', addon)).not.toContain('GLIBC');
  });

  test('takes only Node-API, libuv and a known list of libc functions', () => {
    const names = wanted(addon).filter((name) => !/^(napi|uv)_/.test(name));
    expect(names.filter((name) => !FROM_LIBC.includes(name))).toEqual([]);
  });

  test('is never unloaded, and has no writable code', () => {
    expect(readelf('--dynamic', addon)).toMatch(/NODELETE/);
    expect(readelf('--segments', addon)).not.toMatch(/RWE/);
  });

  test('is small', () => {
    expect(statSync(addon).size).toBeLessThan(256 * 1024);
  });

  test('loads under musl', async (context) => {
    const reason = missing('musl');
    if (reason !== null) context.skip(reason);
    await using folder = await tempFolder();
    const source = join(folder.path, 'host.c');
    const program = join(folder.path, 'host');
    // A stand-in for Node: it offers the names of Node-API and libuv, and binds all at once.
    const names = wanted(addon).filter((name) => /^(napi|uv)_/.test(name));
    writeFileSync(
      source,
      `#include <dlfcn.h>
       #include <stdio.h>
       ${names.map((name) => `void ${name}(void) {}`).join('\n')}
       int main(void) {
         void* addon = dlopen("${addon}", RTLD_NOW);
         if (!addon || !dlsym(addon, "napi_register_module_v1")) return puts(dlerror()), 1;
         return puts("loaded"), 0;
       }`,
    );
    execFileSync('musl-gcc', ['-rdynamic', '-o', program, source]);
    expect(execFileSync(program, { encoding: 'utf8' })).toBe('loaded\n');
  });
});

const supervisor = nativeFile('caisson-supervisor');

describe.skipIf(SANITIZED || supervisor === null)('caisson-supervisor', () => {
  test('is one static file that any Linux runs', () => {
    expect(readelf('--segments', supervisor!)).not.toContain('INTERP');
    expect(readelf('--dynamic', supervisor!)).not.toContain('(NEEDED)');
    expect(statSync(supervisor!).mode & 0o111).not.toBe(0);
  });

  test('is placed anew at every start, and no page is writable code', () => {
    expect(readFileSync(supervisor!).readUInt16LE(16)).toBe(3); // ET_DYN
    expect(readelf('--segments', supervisor!)).not.toMatch(/RWE/);
  });
});
