// Runs code that nobody trusts under `security: 'strict'`: no capabilities, no way to get one, the strict system
// calls, no network. Each attempt is one that such code might make.
import { Container, Image } from 'caisson';

const attempts = {
  'leave its root': 'chroot / true',
  'mount something': 'mount -t tmpfs none /tmp',
  'make namespaces': 'unshare -U true',
  'make a device': 'mknod /tmp/disk b 8 0',
  'change the kernel': 'echo 1 > /proc/sys/kernel/panic',
  'call somebody': 'cat < /dev/tcp/192.0.2.1/80',
  'do its work': 'echo $((6 * 7)) > /tmp/answer && cat /tmp/answer',
};

const box = await Container.start({
  image: Image.host(),
  argv: ['sleep', 'infinity'],
  security: 'strict',
  timeoutMs: 60_000,
});
try {
  for (const [what, script] of Object.entries(attempts)) {
    const { exitCode, stdout } = await box.exec(['bash', '-c', script], { timeoutMs: 10_000 });
    console.log(`${what}: ${exitCode === 0 ? `done, ${stdout.trim()}` : 'refused'}`);
  }
} finally {
  await box.remove({ force: true });
}
