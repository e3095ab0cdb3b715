import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// The layers of lib/, lowest first. A folder may import values from lower lines only; folders on one
// line do not see each other. Upwards, types are allowed and values are not: a method that reaches
// upward calls a function that the upper module registered.
const LAYERS = [
  ['errors'],
  ['native'],
  ['host', 'store'],
  ['archive'],
  ['runtime'],
  ['registry'],
  ['image', 'network', 'volume'],
  ['container'],
  ['build', 'oci'],
  ['cli', 'engine-api', 'testing', 'ai'],
];

// What a stage that only computes may not touch.
const INPUT_OUTPUT = [
  'fs',
  'fs/promises',
  'child_process',
  'net',
  'dgram',
  'http',
  'https',
  'os',
  'worker_threads',
].flatMap((name) => [name, `node:${name}`]);

const PURE_STAGES = ['plan.ts', 'plan-*.ts', '*-plan.ts', 'request.ts', '*-request.ts'];

/** The import rule of the files of one folder of lib/. */
function importRule(folder, { pure }) {
  const layer = LAYERS.findIndex((names) => names.includes(folder));
  const forbidden = LAYERS.slice(layer)
    .flat()
    .filter((name) => name !== folder);
  const patterns = [
    {
      regex: '^(\\.\\./)+index\\.js$',
      message: 'lib/index.ts is for users: import the module itself.',
    },
  ];
  if (forbidden.length > 0) {
    patterns.push({
      regex: `^(\\.\\./)+(${forbidden.join('|')})/`,
      allowTypeImports: true,
      message: `${folder}/ must not import values of a folder on its own line or above (ARCHITECTURE.md, "Layers").`,
    });
  }
  if (pure) {
    patterns.push({
      regex: '^(\\.\\./)+native/(?!steps|protocol)',
      allowTypeImports: true,
      message: 'request and plan are pure: no native calls.',
    });
  }
  const paths = pure
    ? INPUT_OUTPUT.map((name) => ({
        name,
        message: 'request and plan are pure: no I/O.',
        // What only looks at its argument.
        ...(name === 'node:net' && { allowImportNames: ['isIP', 'isIPv4', 'isIPv6'] }),
      }))
    : [];
  return ['error', { paths, patterns }];
}

const layers = LAYERS.flat().flatMap((folder) => [
  {
    files: [`lib/${folder}/**/*.ts`],
    rules: { '@typescript-eslint/no-restricted-imports': importRule(folder, { pure: false }) },
  },
  {
    files: PURE_STAGES.map((stage) => `lib/${folder}/**/${stage}`),
    rules: { '@typescript-eslint/no-restricted-imports': importRule(folder, { pure: true }) },
  },
]);

export default tseslint.config(
  {
    ignores: ['dist/', 'build/', 'prebuilds/', 'docs/api/', 'coverage/', 'node_modules/'],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // In a supervisor a floating promise is the typical bug.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/return-await': ['error', 'always'],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // The public nouns are classes with statics (API.md), some of them with nothing else.
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      // `public` is the default and `private` is `#`.
      'no-restricted-syntax': [
        'error',
        {
          selector: ':matches(PropertyDefinition, MethodDefinition)[accessibility]',
          message: 'Use #names for what is private; public needs no word.',
        },
      ],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  ...layers,
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'no-console': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      // The helpers return plain objects of functions, made to be taken apart.
      '@typescript-eslint/unbound-method': 'off',
      // Wrong values are handed in on purpose, and results of a kernel are looked at as they come.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: {
      globals: Object.fromEntries(
        ['process', 'console', 'Buffer', 'URL', 'AbortController', 'AbortSignal', 'performance']
          .concat(['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate'])
          .concat(['structuredClone', 'TextDecoder', 'TextEncoder', 'fetch', 'queueMicrotask'])
          .map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    files: ['**/*.cjs'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: { require: 'readonly', module: 'writable' },
    },
  },
);
