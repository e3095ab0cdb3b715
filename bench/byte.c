// Writes one byte: what "spawn to first byte" waits for.
#include <unistd.h>

int main(void) {
  return write(1, "x", 1) == 1 ? 0 : 1;
}
