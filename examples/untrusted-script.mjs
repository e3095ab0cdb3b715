// Runs scripts from somebody else, each in a container of its own: no network, a bounded time, a
// bounded output, none of this machine's files but its read-only programs.
//
// A shared kernel is one wall, not two: see README.md, "Limits", before you rely on it alone.
import { Container, Image } from 'caisson';

const scripts = {
  honest: `console.log(6 * 7)`,
  endless: `console.log('working …'); for (;;);`,
  talkative: `for (;;) console.log('x'.repeat(1000))`,
  'calling home': `fetch('http://192.0.2.1/').catch((e) => console.log('no network:', e.cause.code))`,
  nosy: `console.log(require('fs').existsSync('/etc/shadow') ? 'read it' : 'nothing there')`,
};

for (const [name, script] of Object.entries(scripts)) {
  const result = await Container.run(Image.host(), [process.execPath, '-'], {
    input: script,
    timeoutMs: 2_000,
    maxOutputBytes: 4096,
  });
  const end = result.reason === 'exited' ? `exit code ${result.exitCode}` : result.reason;
  const output = result.truncated ? `${result.stdout.length} bytes kept` : result.stdout.trim();
  console.log(`${name}: ${end}; ${output}`);
}
