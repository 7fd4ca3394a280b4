<?php
// A deep recursion, once through a function of C; what PHP says of it is written.
const DEPTH = 3000;

function told()
{
    $frames = array_map(fn($one) => $one["function"], debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS));
    file_put_contents($GLOBALS["argv"][1] . ".new", json_encode($frames));
    rename($GLOBALS["argv"][1] . ".new", $GLOBALS["argv"][1]);
    sleep(1000);
}

function first($left)
{
    if ($left == 0) {
        return told();
    }
    if ($left == DEPTH / 2) {
        return array_map('second', [$left - 1]);
    }
    return $left % 5 < 2 ? first($left - 1) : second($left - 1);
}

function second($left)
{
    return first($left - 1);
}

first(DEPTH);
