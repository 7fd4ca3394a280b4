<?php
// Blocked in a way of PHP that the argument names; the program writes what PHP itself says.

namespace Some\Space;

function told(string $path): void
{
    $found = [];
    foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS) as $at) {
        $found[] = [$at['class'] ?? null, $at['function'], $at['file'] ?? null, $at['line'] ?? null];
    }
    file_put_contents($path . '.new', json_encode($found));
    rename($path . '.new', $path);
    sleep(1000);
}

trait Telling
{
    public function tells(string $path): void
    {
        told($path);
    }
}

class Outer
{
    use Telling;

    public function deep(int $depth, string $path): void
    {
        if ($depth > 0) {
            $this->deep($depth - 1, $path);
            return;
        }
        array_map(
            fn ($each) =>
                $this->tells($each),
            [$path]
        );
    }

    public static function generated(string $path): \Generator
    {
        yield 1;
        (new self())->deep(2, $path);
    }

    public static function delegating(string $path): \Generator
    {
        yield from self::generated($path);
    }

    public function __toString(): string
    {
        $found = '';
        foreach (self::generated($GLOBALS['argv'][2]) as $_) {
            $found .= 'x';
        }
        return $found;
    }
}

if ($argv[1] === 'delegated') {
    foreach (Outer::delegating($argv[2]) as $_) {
        continue;
    }
} elseif ($argv[1] === 'method') {
    (new Outer())->deep(3, $argv[2]);
} elseif ($argv[1] === 'callback') {
    $numbers = [2, 1];
    usort($numbers, function ($one, $other) use ($argv) {
        return strlen((string) new Outer());
    });
} elseif ($argv[1] === 'included') {
    $included = tempnam(sys_get_temp_dir(), 'included');
    file_put_contents($included, "<?php\n\n\\Some\\Space\\told(\$argv[2]);\n");
    include $included;
} else {
    eval("function evaluated(\$path) {\n \\Some\\Space\\told(\$path);\n}\n\nevaluated(\$argv[2]);");
}
