// Runs a shell in a container of its own and prints what the shell sees. No image is needed:
// Image.host() is this machine's own programs, read-only, below a fresh root.
import os from 'node:os';
import { Container, Image } from 'caisson';

const { stdout, exitCode } = await Container.run(Image.host(), [
  'sh',
  '-c',
  `echo "hostname    $(cat /proc/sys/kernel/hostname)"
   echo "pid         $$"
   echo "interfaces  $(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | tr '\\n' ' ')"
   echo "user        $(id -u)"`,
]);

console.log(`on this machine: hostname ${os.hostname()}, pid ${process.pid}`);
console.log(`in the container:\n${stdout.trimEnd()}`);
console.log(`exit code ${exitCode}`);
