import { Tag, type DiffForm } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import { ContainerRecords } from '../store/index.js';
import { encodeIdMaps } from './encode.js';
import type { OciMount } from './oci-spec.js';
import type { Supervised } from './supervise.js';

/** A folder that a container writes to, by copy-on-write. */
export interface Written {
  /** Where the container has it: `''` is its root. */
  readonly target: string;
  /** Store-relative. */
  readonly upper: string;
  /** What lies below it: layers of the store, lowest first, or one folder of this machine. */
  readonly lower: readonly string[] | string;
}

export function rootOf({ id, plan }: Supervised): Written {
  return { target: '', upper: `${ContainerRecords.folderOf(id)}/upper`, lower: plan.layers };
}

/** Its root, and folders of this machine that `Image.host({ writable })` shows. */
export function writtenBy(core: Supervised): readonly Written[] {
  const { id, plan } = core;
  const folder = ContainerRecords.folderOf(id);
  const overlays = plan.oci.mounts.flatMap((mount): Written[] => {
    const scratch = scratchOf(mount);
    if (scratch === undefined) return [];
    const upper = `${folder}/${scratch}/upper`;
    return [{ target: mount.destination, upper, lower: mount.source }];
  });
  return [rootOf(core), ...overlays];
}

function scratchOf({ type, options }: OciMount): string | undefined {
  if (type !== 'overlay') return undefined;
  return options.find((option) => option.startsWith('scratch='))?.slice('scratch='.length);
}

/** The body of a Diff. */
export function encodeDiff(
  { plan }: Supervised,
  { target, upper, lower }: Written,
  form: DiffForm,
): Uint8Array {
  const fields = new FieldWriter(1024).u64(Tag.diffForm, form).string(Tag.diffUpper, upper);
  if (typeof lower === 'string') fields.string(Tag.importSource, lower);
  else fields.strings(Tag.layer, lower);
  encodeIdMaps(fields, plan);
  // What a start has made to mount on is none of the container's doing.
  const mounted = [
    ...plan.oci.mounts.map(({ destination }) => destination),
    ...plan.files.map(({ path }) => path),
  ];
  const inside = mounted.filter((path) => path.startsWith(`${target}/`) && path !== '/');
  return fields
    .strings(
      Tag.diffMountPoint,
      inside.map((path) => path.slice(target.length)),
    )
    .bytes();
}
