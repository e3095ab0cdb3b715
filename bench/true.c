// What every launch is timed with: a static program that does nothing.
int main(void) {
  return 0;
}
