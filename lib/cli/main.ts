#!/usr/bin/env node
import { build } from './build.js';
import { packageVersion } from './package-files.js';

const HELP = `Usage: caisson <command>

Commands:
  build        build the native part from source, for a machine the prebuilt files do not serve

Options:
  --version    the version of the package
  --help       this text
`;

function main(args: readonly string[]): number {
  const [command, ...rest] = args;
  switch (command) {
    case 'build':
      return build(rest);
    case '--version':
    case '-v':
      process.stdout.write(`${packageVersion()}\n`);
      return 0;
    case '--help':
    case '-h':
      process.stdout.write(HELP);
      return 0;
    case undefined:
      process.stderr.write(HELP);
      return 2;
    default:
      process.stderr.write(`caisson: unknown command ${JSON.stringify(command)}\n\n${HELP}`);
      return 2;
  }
}

process.exitCode = main(process.argv.slice(2));
