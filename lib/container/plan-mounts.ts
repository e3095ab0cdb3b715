import type { ImageMount } from '../image/resolved-image.js';
import { defaultMounts, type MountChoice } from './defaults.js';
import type { MountAsked } from './mount-request.js';
import type { OciMount } from './oci-spec.js';

/**
 * All mounts in the order they are made: by depth, so that none covers one made before it. At equal
 * depth the order is: ours, the image's, the user's. A user's mount takes the place of one of
 * ours (`/dev/shm`) or the image's at the same path, and /dev that of everything below it.
 */
export function planMounts(
  choice: MountChoice,
  implied: readonly ImageMount[],
  asked: readonly MountAsked[],
  devices: readonly OciMount[] = [],
): readonly OciMount[] {
  const ours = defaultMounts(choice);
  const { userns } = choice;
  if (asked.length === 0 && devices.length === 0) return withImplied(ours, implied, userns);

  const targets = new Set(asked.map(({ target }) => target));
  const kept = withImplied(ours, implied, userns).filter(
    ({ destination }) =>
      !targets.has(destination) && !(targets.has('/dev') && destination.startsWith('/dev/')),
  );
  return byDepth([...kept, ...devices, ...asked.map((mount) => toOci(mount, choice))]);
}

const known = new WeakMap<readonly ImageMount[], Map<readonly OciMount[], readonly OciMount[]>>();

/** An image's own mounts are the same every time: one object, so that its bytes are kept. */
function withImplied(
  ours: readonly OciMount[],
  implied: readonly ImageMount[],
  userns: boolean,
): readonly OciMount[] {
  if (implied.length === 0) return ours;
  let perImage = known.get(implied);
  if (perImage === undefined) {
    perImage = new Map<readonly OciMount[], readonly OciMount[]>();
    known.set(implied, perImage);
  }
  let mounts = perImage.get(ours);
  if (mounts === undefined) {
    const all = [...ours, ...implied.map((mount) => impliedToOci(mount, userns))];
    mounts = Object.freeze(byDepth(all));
    perImage.set(ours, mounts);
  }
  return mounts;
}

const depth = ({ destination }: OciMount): number => destination.split('/').length;

/** A stable sort: at equal depth the order stays. */
const byDepth = (mounts: OciMount[]): OciMount[] => mounts.sort((a, b) => depth(a) - depth(b));

/**
 * nodev on every bind, unless all devices are given anyway: a node of the host would be a way to its disks.
 */
function bind(mount: BindAsked, privileged: boolean, idmap: boolean): OciMount {
  const options = ['rbind', 'rprivate'];
  if (!privileged) options.push('nodev');
  if (mount.readOnly) options.push('rro');
  if (idmap) options.push('ridmap');
  return { destination: mount.target, type: 'bind', source: mount.source, options };
}

interface BindAsked {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

function toOci(mount: MountAsked, { privileged, userns }: MountChoice): OciMount {
  if (mount.type === 'bind') return bind(mount, privileged, mount.idmap && userns);
  const options = ['nosuid', 'nodev', 'mode=1777'];
  if (mount.sizeBytes !== undefined) options.push(`size=${mount.sizeBytes}`);
  return { destination: mount.target, type: 'tmpfs', source: 'tmpfs', options };
}

function impliedToOci(mount: ImageMount, userns: boolean): OciMount {
  if (mount.type === 'bind') return bind(mount, false, userns);
  // Copy-on-write over a folder of the host; `scratch` is a plain name in the container's folder.
  const scratch = `scratch${mount.target.replaceAll('/', '-')}`;
  return {
    destination: mount.target,
    type: 'overlay',
    source: mount.source,
    options: ['nodev', `scratch=${scratch}`, ...(userns ? ['idmap'] : [])],
  };
}
