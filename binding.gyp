# The same two files as addon/CMakeLists.txt, which gives the reasons, from the same list of sources,
# for machines without cmake. Not run on install: package.json says "gypfile": false.
{
  'variables': {
    'common': [
      '-std=c++23', '-fno-exceptions', '-fno-rtti', '-ffunction-sections', '-fdata-sections',
      '-Wall', '-Wextra', '-Wshadow', '-Wconversion', '-g0',
      '-fno-asynchronous-unwind-tables', '-fno-unwind-tables',
    ],
    'static_link': '<!(node scripts/sources.mjs static-link)',
  },
  'target_defaults': {
    'include_dirs': ['addon'],
    'cflags_cc': ['<@(common)'],
    'ldflags': ['-Wl,--gc-sections', '-s'],
  },
  'targets': [
    {
      'target_name': 'caisson',
      'sources': ['<!@(node scripts/sources.mjs addon)'],
      'include_dirs': ['<!(node scripts/sources.mjs include)'],
      'defines': ['NAPI_VERSION=8'],
      'cflags_cc': [
        '-O2', '-fPIC', '-fvisibility=hidden', '-fvisibility-inlines-hidden', '-fno-threadsafe-statics',
        '-U_FORTIFY_SOURCE', '-U_FILE_OFFSET_BITS',
      ],
      'ldflags': ['-nostdlib', '-Wl,-z,nodelete,-z,relro,-z,now'],
      'conditions': [['target_arch=="arm64"', { 'cflags_cc': ['-mno-outline-atomics'] }]],
    },
    {
      'target_name': 'caisson-child',
      'type': 'static_library',
      'sources': ['<!@(node scripts/sources.mjs child)'],
      'cflags_cc': [
        '-Os', '-fPIE', '-fno-threadsafe-statics', '-fno-stack-protector', '-U_FORTIFY_SOURCE',
      ],
    },
    {
      'target_name': 'caisson-supervisor',
      'type': 'executable',
      'product_extension': '',
      'dependencies': ['caisson-child'],
      'sources': ['<!@(node scripts/sources.mjs supervisor)'],
      'defines': ['<!@(node scripts/sources.mjs codec-defines)'],
      'libraries': ['<!@(node scripts/sources.mjs codec-libraries)'],
      'cflags_cc': ['-Os', '-fPIE', '-fstack-protector-strong'],
      'ldflags': ['<(static_link)', '-Wl,-z,relro,-z,now'],
    },
  ],
}
