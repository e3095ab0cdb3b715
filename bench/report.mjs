// From samples to tables.

/** @param {readonly number[]} samples @param {number} share */
export function percentile(samples, share) {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/**
 * @typedef {object} Row       one line of a table
 * @property {string} name
 * @property {string} unit
 * @property {number} [p50]
 * @property {number} [p95]    of a rate: the 5th percentile, the bad end
 * @property {number} [samples]
 * @property {number} [ratio50]  ours divided by this
 * @property {number} [ratio95]
 * @property {string} [note]   why there is no number, or what to know about it
 *
 * @typedef {object} Target
 * @property {string} text
 * @property {number} [value]
 * @property {number} limit
 * @property {'at most' | 'at least'} kind
 *
 * @typedef {object} Table
 * @property {string} title
 * @property {Row[]} rows
 * @property {string[]} notes
 *
 * @typedef {object} Result
 * @property {Record<string, unknown>} machine
 * @property {Table[]} tables
 * @property {Target[]} targets
 * @property {string[]} versions
 * @property {number} rounds
 */

/** @param {number | undefined} value */
export function format(value) {
  if (value === undefined || Number.isNaN(value)) return '–';
  const digits =
    Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 4;
  return value.toFixed(digits);
}

/** @param {Target} target */
export function isMet({ value, limit, kind }) {
  if (value === undefined || Number.isNaN(value)) return undefined;
  return kind === 'at most' ? value <= limit : value >= limit;
}

/** @param {string[][]} rows */
function table(rows) {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(3, ...rows.map((row) => (row[i] ?? '').length)),
  );
  const line = (/** @type {string[]} */ row) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const [head = [], ...body] = rows;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...body.map(line)].join('\n');
}

/** @param {Table} part */
function tableText({ title, rows, notes }) {
  const unit = rows.find((row) => row.p50 !== undefined)?.unit ?? '';
  const compared = rows.some((row) => row.ratio50 !== undefined);
  const head = ['', `p50 ${unit}`, `p95 ${unit}`, 'samples'];
  if (compared) head.push('caisson / this, p50', 'p95');
  const cells = rows
    .filter((row) => row.p50 !== undefined)
    .map((row) => {
      const line = [row.name, format(row.p50), format(row.p95), String(row.samples ?? '')];
      if (compared) line.push(format(row.ratio50), format(row.ratio95));
      return line;
    });
  const missing = rows
    .filter((row) => row.p50 === undefined)
    .map((row) => `- ${row.name}: not measured: ${row.note ?? 'no reason given'}`);
  const remarks = rows
    .filter((row) => row.p50 !== undefined && row.note)
    .map((row) => `- ${row.name}: ${row.note}`);
  const parts = [`## ${title}`];
  if (cells.length > 0) parts.push(table([head, ...cells]));
  const list = [...remarks, ...missing, ...notes.map((note) => `- ${note}`)];
  if (list.length > 0) parts.push(list.join('\n'));
  return parts.join('\n\n');
}

/** @param {Target[]} targets */
function targetsText(targets) {
  const rows = targets.map((target) => {
    const met = isMet(target);
    const word = met === undefined ? 'not measured' : met ? 'yes' : '**no**';
    return [
      target.text,
      `${target.kind === 'at most' ? '≤' : '≥'} ${format(target.limit)}`,
      format(target.value),
      word,
    ];
  });
  return `## Targets\n\n${table([['', 'target', 'measured', 'reached'], ...rows])}`;
}

/** @param {Result} result @returns {string} the whole page */
export function page({ machine, tables, targets, versions, rounds }) {
  const { cores, processor, memoryGiB, kernel, node, cgroups, store, mounts, othersPercent } =
    machine;
  return `# Benchmarks

Written by \`npm run bench -- --write\`. Everything on this page was measured in one run, interleaved in ${rounds}
rounds (each subject a little in each round), so that what slows the machine down slows all of them.

${cores} cores (${processor}), ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, cgroups ${cgroups}, store on ${store},
${mounts} mounts on the host; other programs used ${othersPercent} % of the processors when it began. ${versions.join(', ')}.

What is compared with what:

- **naive floor** and **prepared floor** (\`bench/naive.c\`, \`bench/prepared.c\`): C programs that make the same
  container: every step on the path, and with network namespace, cgroups and overlay made beforehand. From the first step
  to the end seen by \`waitid\`, their clean-up not counted. \`--list\` prints the steps, \`--profile\` what each takes.
- **caisson**: from the call in JavaScript to the resolved promise, output collected, image cached.
- **peers**: whole processes, from before \`posix_spawn\` to after \`wait4\` in a small C program. \`crun\`, \`runc\` and
  \`bwrap\` work on a plain folder (no overlay) and without a seccomp filter; \`docker\` is the command line client and a
  daemon that is up, with its defaults and \`--network none\`.
- **images**: from the call of \`Image.load\` or \`Image.pull\` to an image that can run, on the disk; peers as above, the
  daemons up. The floor makes a folder of each layer, one after the other, and leaves them in the page cache.

${targetsText(targets)}

${tables.map(tableText).join('\n\n')}
`;
}

/** @param {Result} result  of a run in the cgroup v2 machine */
export function vmPart({ machine, tables, rounds }) {
  return `# On cgroup v2

In the machine of [test/vm](test/vm/README.md), ${rounds} rounds: ${machine['processor']}, Linux ${machine['kernel']}, cgroups
${machine['cgroups']}. Its processor is emulated, and JavaScript that is compiled as it runs suffers most from that: the
ratios are worth something, the times nothing.

${tables.map(tableText).join('\n\n')}
`;
}
