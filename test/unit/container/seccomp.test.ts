import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ociSeccomp } from '../../../lib/container/oci-seccomp.js';
import { DEFAULT_PROFILE } from '../../../lib/container/seccomp-default.js';
import { planSeccomp } from '../../../lib/container/seccomp-plan.js';
import { parseSeccomp, parseSeccompProfile } from '../../../lib/container/seccomp-request.js';
import { repository } from '../../helpers/native.js';

const HOST = { arch: 'x64', release: '6.1.0-37-amd64' };

const refusal = (profile: unknown): unknown => {
  try {
    return parseSeccomp(profile, 'seccomp');
  } catch (error) {
    return error;
  }
};

function plan(profile: object, capabilities: readonly string[] = [], host: object = {}) {
  const planned = planSeccomp(parseSeccomp(profile, 'seccomp'), capabilities, {
    ...HOST,
    ...host,
  });
  if (typeof planned === 'string') throw new Error(planned);
  return planned;
}

/** The names of the rules that apply. */
const names = (rules: object[], capabilities?: readonly string[], host?: object): string =>
  plan({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: rules }, capabilities, host)
    .rules.map((rule) => rule.names.join('+'))
    .join(' ');

const rule = (name: string, more: object = {}) => ({
  names: [name],
  action: 'SCMP_ACT_ALLOW',
  ...more,
});

describe('a profile in Docker’s JSON form', () => {
  test.each(['default', 'strict', 'unconfined'])('%j is a policy', (value) => {
    expect(parseSeccomp(value, 'seccomp')).toBe(value);
  });

  test('actions, as the kernel has them', () => {
    const verdicts = [
      ['SCMP_ACT_KILL', 0],
      ['SCMP_ACT_KILL_THREAD', 0],
      ['SCMP_ACT_KILL_PROCESS', 0x8000_0000],
      ['SCMP_ACT_TRAP', 0x0003_0000],
      ['SCMP_ACT_ERRNO', 0x0005_0001],
      ['SCMP_ACT_TRACE', 0x7ff0_0001],
      ['SCMP_ACT_LOG', 0x7ffc_0000],
      ['SCMP_ACT_ALLOW', 0x7fff_0000],
    ] as const;
    for (const [defaultAction, verdict] of verdicts) {
      expect(plan({ defaultAction }).defaultVerdict).toBe(verdict);
    }
    const errno = { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 };
    expect(plan(errno).defaultVerdict).toBe(0x0005_0026);
    // An errno beside an action that has none is passed over, as Docker does.
    expect(plan({ defaultAction: 'SCMP_ACT_ALLOW', defaultErrnoRet: 38 }).defaultVerdict).toBe(
      0x7fff_0000,
    );
  });

  test('arguments, and what Docker writes for nothing', () => {
    const args = [{ index: 1, value: 2080505856, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }];
    const syscalls = [
      rule('clone', { args, comment: '', includes: {}, excludes: null }),
      { name: 'read', action: 'SCMP_ACT_ERRNO', errnoRet: null, args: null },
    ];
    expect(plan({ defaultAction: 'SCMP_ACT_ALLOW', syscalls, architectures: null }).rules).toEqual([
      {
        names: ['clone'],
        verdict: 0x7fff_0000,
        args: [{ index: 1, operator: 6, value: 2080505856, valueTwo: 0 }],
      },
      { names: ['read'], verdict: 0x0005_0001, args: [] },
    ]);
  });

  test('architectures: a list, or those of this machine in a map', () => {
    const defaultAction = 'SCMP_ACT_ALLOW';
    const architectures = ['SCMP_ARCH_X86', 'SCMP_ARCH_X32', 'SCMP_ARCH_S390X'];
    expect(plan({ defaultAction, architectures }).architectures).toBe(6);
    const archMap = [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
      { architecture: 'SCMP_ARCH_RISCV64', subArchitectures: null },
    ];
    expect(plan({ defaultAction, archMap }).architectures).toBe(4);
    expect(plan({ defaultAction, archMap }, [], { arch: 'arm64' }).architectures).toBe(16);
  });

  test('rules that need a capability, an architecture or a kernel', () => {
    const rules = [
      rule('mount', { includes: { caps: ['CAP_SYS_ADMIN'] } }),
      rule('clone', { excludes: { caps: ['CAP_SYS_ADMIN', 'CAP_SYS_BOOT'] } }),
      rule('both', { includes: { caps: ['CAP_SYS_ADMIN', 'CAP_SYS_BOOT'] } }),
    ];
    expect(names(rules)).toBe('clone');
    expect(names(rules, ['CAP_SYS_ADMIN'])).toBe('mount');
    expect(names(rules, ['CAP_SYS_ADMIN', 'CAP_SYS_BOOT'])).toBe('mount both');

    const machines = [
      rule('modify_ldt', { includes: { arches: ['amd64', 'x86'] } }),
      rule('set_tls', { includes: { arches: ['arm', 'arm64'] } }),
      rule('other', { excludes: { arches: ['s390x', 'arm64'] } }),
    ];
    expect(names(machines)).toBe('modify_ldt other');
    expect(names(machines, [], { arch: 'arm64' })).toBe('set_tls');

    const kernels = [
      rule('ptrace', { includes: { minKernel: '4.8' } }),
      rule('old', { excludes: { minKernel: '5.10' } }),
    ];
    expect(names(kernels)).toBe('ptrace');
    expect(names(kernels, [], { release: '4.7.10' })).toBe('old');
    expect(names(kernels, [], { release: '4.19.0' })).toBe('ptrace old');
    expect(names(kernels, [], { release: '5.10' })).toBe('ptrace');
  });

  const base = { defaultAction: 'SCMP_ACT_ALLOW' };
  const withRule = (more: object) => ({ ...base, syscalls: [rule('read', more)] });
  test.each<[unknown, string]>([
    ['strictly', 'seccomp'],
    [7, 'seccomp'],
    [{}, 'seccomp.defaultAction'],
    [{ defaultAction: 'ALLOW' }, 'seccomp.defaultAction'],
    [{ defaultAction: 'constructor' }, 'seccomp.defaultAction'],
    [{ ...base, sycalls: [] }, 'seccomp.sycalls'],
    [{ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 4096 }, 'seccomp.defaultErrnoRet'],
    [{ ...base, architectures: ['a'], archMap: [{ architecture: 'b' }] }, 'seccomp.archMap'],
    [{ ...base, syscalls: {} }, 'seccomp.syscalls'],
    [withRule({ name: 'write' }), 'seccomp.syscalls[0].name'],
    [withRule({ names: ['a b'] }), 'seccomp.syscalls[0].names[0]'],
    [withRule({ action: 'x' }), 'seccomp.syscalls[0].action'],
    [
      withRule({ args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }] }),
      'seccomp.syscalls[0].args[0].index',
    ],
    [
      withRule({ args: [{ index: 0, value: -1, op: 'SCMP_CMP_EQ' }] }),
      'seccomp.syscalls[0].args[0].value',
    ],
    [withRule({ args: [{ index: 0, value: 0, op: 'EQ' }] }), 'seccomp.syscalls[0].args[0].op'],
    [withRule({ includes: { caps: ['X'] } }), 'seccomp.syscalls[0].includes.caps[0]'],
    [withRule({ excludes: { minKernel: '4' } }), 'seccomp.syscalls[0].excludes.minKernel'],
  ])('%j: %s', (profile, option) => {
    expect(refusal(profile)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', details: { option } });
  });

  test.each([
    { defaultAction: 'SCMP_ACT_NOTIFY' },
    { ...base, flags: ['SECCOMP_FILTER_FLAG_LOG'] },
    { ...base, listenerPath: '/run/agent' },
  ])('%j is for later', (profile) => {
    expect(refusal(profile)).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });
});

/** The rules of the native part, as its source has them. */
function nativeRules(): {
  names: string;
  caps: string | undefined;
  excludes: string | undefined;
}[] {
  const text = readFileSync(join(repository, 'addon/plan/seccomp/default_profile.cc'), 'utf8');
  const lists = new Map(
    Array.from(
      text.matchAll(/constexpr std::string_view (\w+) =\s*((?:"[^"]*"\s*)+);/g),
      ([, name, parts]) => [name!, Array.from(parts!.matchAll(/"([^"]*)"/g), (m) => m[1]).join('')],
    ),
  );
  const table = /constexpr Rule kRules\[\] = \{([\s\S]*?)\n\};/.exec(text)![1]!;
  return Array.from(
    table.matchAll(/\{\.names = ("[^"]*"|\w+)([^{}]*(?:\{[^}]*\}[^{}]*)*)\}/g),
    (rule) => {
      const [, names, rest] = rule;
      const capability = (field: string): string | undefined => {
        const found = new RegExp(`\\.${field} = Capability\\((\\w+)\\)`).exec(rest!)?.[1];
        return { kCapBpf: 'CAP_BPF', kCapPerfmon: 'CAP_PERFMON' }[found ?? ''] ?? found;
      };
      return {
        names: names!.startsWith('"') ? names!.slice(1, -1) : lists.get(names!)!,
        caps: capability('needs_capabilities'),
        excludes: capability('excludes_capabilities'),
      };
    },
  );
}

describe('the default profile in Docker’s form', () => {
  test('has the rules that the native part has, in their order', () => {
    const ours = parseSeccompProfile(DEFAULT_PROFILE, 'seccomp').rules.map((rule) => ({
      names: rule.names.join(' '),
      caps: rule.includes.caps[0],
      excludes: rule.excludes.caps[0],
    }));
    expect(ours).toEqual(nativeRules());
    expect(ours.length).toBeGreaterThan(25);
  });

  test('is what an OCI config says', () => {
    const spec = ociSeccomp('default', ['CAP_CHOWN', 'CAP_SYS_CHROOT'], HOST)!;
    expect(spec).toMatchObject({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32', 'SCMP_ARCH_X86'],
    });
    const names = spec.syscalls.flatMap((rule) => rule.names);
    expect(names).toContain('chroot');
    expect(names).not.toContain('mount');
    expect(spec.syscalls).toContainEqual({
      names: ['clone3'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 38,
    });
    // What is said is what is planned: read again, it is the same filter.
    const again = plan(spec);
    const planned = plan(DEFAULT_PROFILE, ['CAP_CHOWN', 'CAP_SYS_CHROOT']);
    expect(again.rules).toEqual(planned.rules);
    expect(again.defaultVerdict).toBe(planned.defaultVerdict);
    expect(ociSeccomp('strict', [], HOST)!.architectures).toEqual(['SCMP_ARCH_X86_64']);
    expect(ociSeccomp('unconfined', [], HOST)).toBeUndefined();
  });
});
