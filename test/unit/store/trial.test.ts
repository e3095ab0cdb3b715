import { expect, test } from 'vitest';
import { judge } from '../../../lib/store/trial.js';

const line = (...fields: string[]): string => fields.join('\t');

test.each([
  ['all is well', [line('overlay', 'ok', '-', '-', 'layers by descriptor')], undefined],
  ['a note', [line('reflink', 'note', 'store-file-system', 'EOPNOTSUPP', 'copied')], undefined],
  ['what is not of the store', [line('clone3', 'fail', 'x', 'ENOSYS', 'no')], undefined],
  ['nothing', [''], undefined],
  [
    'no xattrs',
    [
      line('store', 'ok', '-', '-', ''),
      line('extended-attributes', 'fail', 'no-xattrs', 'EOPNOTSUPP', 'no user.* on vfat'),
    ],
    'its file system does not do: no user.* on vfat (EOPNOTSUPP)',
  ],
  [
    'no d_type',
    [line('file-types', 'fail', 'no-file-types', '-', '')],
    'its file system does not do: file-types',
  ],
])('%s', (_what, lines, reason) => {
  expect(judge(lines.join('\n')).reason).toBe(reason);
});
