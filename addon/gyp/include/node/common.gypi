# What node-gyp expects in the headers of a Node release. The addon needs only the Node-API headers
# (from npm), so this takes the release's place: nothing is downloaded, and no flag of Node's own
# build gets in. All flags are in ../../../../binding.gyp.
{
  'variables': { 'build_v8_with_gn': 'false', 'enable_lto%': 'false' },
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': { 'Release': {}, 'Debug': {} },
  },
}
