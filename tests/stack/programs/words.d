import std.stdio, std.algorithm, std.array, std.string, std.conv;
int twice(int n) { return 2 * n; }
void main(string[] args) {
    auto found = args.map!(a => a.strip.toUpper).array.sort.uniq.array;
    int[string] count;
    foreach (one; found) count[one]++;
    writeln(found, " ", count, " ", twice(cast(int) args.length), " ", to!string(3.5));
}
