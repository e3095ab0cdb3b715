// What distribution/reference takes for the host of an image's name: a DNS name, an IPv4 address or an
// IPv6 address in brackets, and a port.
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);

/** Whether it can be the host of a registry, as `registry.example:5000`. */
export const isRegistryHost = (text: string): boolean => text.length <= 261 && HOST.test(text);
