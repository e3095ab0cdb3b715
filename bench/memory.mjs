// How much memory a program takes with all that it starts.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** This process and all that descend from it. @param {number} top */
function descendants(top) {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/u.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended while we looked.
    }
  }
  /** @type {number[]} */
  const found = [];
  for (const left = [top]; left.length > 0;) {
    const pid = left.pop() ?? 0;
    found.push(pid);
    left.push(...(children.get(pid) ?? []));
  }
  return found;
}

/** @param {number} pid @param {'Rss' | 'Pss'} kind */
function sizeOf(pid, kind) {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return 1024 * Number(new RegExp(`^${kind}:\\s+(\\d+)`, 'mu').exec(text)?.[1] ?? 0);
  } catch {
    return 0; // the same, or it is about to
  }
}

/**
 * All of Node's own, whose program other processes of this machine may share, and of what it has started each page
 * once, as nobody else has that.
 *
 * @param {number} top
 */
function bytesOf(top) {
  const [node = 0, ...others] = descendants(top);
  return others.reduce((sum, pid) => sum + sizeOf(pid, 'Pss'), sizeOf(node, 'Rss'));
}

/**
 * The most that a process and all below it have at once while `work` lasts, looked at every few milliseconds.
 *
 * @param {number} top
 * @param {() => Promise<unknown>} work
 */
export async function mostBytes(top, work) {
  let most = 0;
  let goesOn = true;
  const watch = (async () => {
    while (goesOn) {
      most = Math.max(most, bytesOf(top));
      await sleep(10);
    }
  })();
  try {
    await work();
  } finally {
    goesOn = false;
    await watch;
  }
  return most;
}
