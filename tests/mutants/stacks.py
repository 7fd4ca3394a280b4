"""Faults of the layer stack."""

from __future__ import annotations

from tests.mutants.row import Mutant

RULES = ("tests/stack/test_rules.py",)
PARTS = ("tests/stack/test_parts.py",)
CALLS = ("tests/stack/test_syscalls.py",)
CALLERS = ("tests/stack/test_callers.py",)
LIMITS = ("tests/stack/test_limits.py",)
KERNEL = ("tests/stack/test_kernel_frames.py",)

RUNNING = ("tests/stack/test_running.py",)

GAPS = ("tests/stack/test_gaps.py",)

GOROUTINES = ("tests/stack/test_goroutines.py",)

PYTHON_RUNNING = ("tests/stack/test_python_running.py",)
LINES = ("tests/stack/test_lines.py",)

RUBY = ("tests/stack/test_ruby.py",)

STACKS = (
    Mutant(
        "one_reading_of_running_python",
        "stack/python_running.py",
        "if frames is not None and alike == ALIKE:",
        "if frames is not None:",
        PYTHON_RUNNING,
        "functions of Python of different moments stand in one stack",
    ),
    Mutant(
        "python_of_another_moment_unmarked",
        "stack/user_side.py",
        "and not stack.omitted and not apart",
        "and not stack.omitted",
        PYTHON_RUNNING,
        "functions of a running thread seem to belong to the frames of its sample",
    ),
    Mutant(
        "ruby_line_of_the_next_instruction",
        "stack/ruby.py",
        "max(position - 1, 0)",
        "position",
        RUBY,
        "a function of Ruby has the line behind the call",
    ),
    Mutant(
        "php_generator_ends_the_functions",
        "stack/php.py",
        "                continue  # between",
        "                return  # between",
        ("tests/stack/test_php.py",),
        "functions of PHP below a generator are missing",
    ),
    Mutant(
        "java_inlined_methods_left_out",
        "stack/java_code.py",
        "if not scope:\n                return\n",
        "return\n",
        ("tests/stack/test_java.py",),
        "methods that were compiled into others are missing",
    ),
    Mutant(
        "ruby_pages_without_end",
        "stack/checked_memory.py",
        "if self._left < 0:",
        "if self._left < -(1 << 60):",
        RUBY,
        "a program makes its reader read without end",
    ),
    Mutant(
        "lines_without_end",
        "stack/source_lines.py",
        "if self._clock() > deadline:",
        "if deadline < 0:",
        LINES,
        "the lines of a large program take longer than their time",
    ),
    Mutant(
        "a_debug_file_kept_open",
        "stack/source_lines.py",
        "            known.sections.elf = elf.closed()\n",
        "",
        LINES,
        "what is known of a file keeps the file of the last request open",
    ),
    Mutant(
        "lines_by_the_listed_units_alone",
        "stack/dwarf_units.py",
        "        yield from self._read_others(sections)\n",
        "",
        LINES,
        "units that .debug_aranges does not list have no lines",
    ),
    Mutant(
        "ended_goroutines_shown",
        "stack/goroutines.py",
        "if state in _DEAD:",
        "if state == 99:",
        GOROUTINES,
        "goroutines that have ended are shown with the frames of others",
    ),
    Mutant(
        "goroutines_without_end",
        "stack/goroutines.py",
        "len(found) >= MOST_GOROUTINES or ",
        "",
        GOROUTINES,
        "a program of a million goroutines takes the worker",
    ),
    Mutant(
        "older_calls_beyond_a_gap",
        "stack/repair.py",
        "                if self.is_called(found):\n",
        "                if self.row(found):\n",
        GAPS,
        "return addresses that older calls left become frames",
    ),
    Mutant(
        "gap_in_silence",
        "stack/repair.py",
        "mark=UNSURE, gap=True)",
        "mark=UNSURE)",
        GAPS,
        "nobody sees that frames are missing",
    ),
    Mutant(
        "samples_without_end",
        "stack/samples.py",
        "self._left -= self._target.clock() - began",
        "pass",
        RUNNING,
        "a thousand running threads take 50 ms each",
    ),
    Mutant(
        "sleb128_unsigned",
        "stack/expression.py",
        "(value - (1 << bits) if raw[end - 1] & 64 else value)",
        "value",
        RULES,
        "frames are looked for in another place of the stack",
    ),
    Mutant(
        "expressions_without_end",
        "stack/expression.py",
        "if steps > MOST_STEPS or len(held) > MOST_HELD:",
        "if steps > MOST_STEPS:",
        LIMITS,
        "a crafted program takes memory as it likes",
    ),
    Mutant(
        "data_factor",
        "stack/cfi_program.py",
        'self.set(low, Rule("at", offset * self.cie.data_factor))',
        'self.set(low, Rule("at", offset))',
        RULES,
        "a saved register is read from the wrong place",
    ),
    Mutant(
        "restored_to_nothing",
        "stack/cfi_program.py",
        "self.rules[register] = self.initial[register]",
        "self.rules.pop(register, None)",
        LIMITS,
        "the return address is lost after an epilogue",
    ),
    Mutant(
        "states_without_limit",
        "stack/cfi_program.py",
        "if len(self.remembered) >= MOST_REMEMBERED:",
        "if False:",
        LIMITS,
        "a crafted program takes memory as it likes",
    ),
    Mutant(
        "rule_of_the_next_row",
        "stack/cfi_program.py",
        "if location > address:",
        "if location >= address:",
        RULES,
        "the rules of another instruction are used",
    ),
    Mutant(
        "mapping_end_included",
        "stack/maps.py",
        "if address >= last:",
        "if address > last:",
        LIMITS,
        "an address behind a mapping is taken for one inside",
    ),
    Mutant(
        "return_address_at_call",
        "stack/frames.py",
        "return self.pc if self.interrupted else self.pc - 1",
        "return self.pc",
        RULES,
        "a function that never returns is named as the one behind it",
    ),
    Mutant(
        "stacks_without_end",
        "stack/unwind.py",
        "(self.inner if len(self.inner) < INNER else self.outer).append(frame)",
        "self.inner.append(frame)",
        RULES,
        "a recursion fills the view",
    ),
    Mutant(
        "undefined_is_unknown",
        "stack/unwind.py",
        "if row.rules.get(row.return_register) == UNDEFINED:",
        "if False:",
        RULES,
        "a complete stack is shown as cut",
    ),
    Mutant(
        "calls_forward_only",
        "stack/code.py",
        'return Call((address + int.from_bytes(code[-4:], "little", signed=True)) & WORD)',
        'return Call(address + int.from_bytes(code[-4:], "little"))',
        RULES,
        "frames of functions that were called backwards cannot be repaired",
    ),
    Mutant(
        "call_through_any_group",
        "stack/code.py",
        "if mod_rm >> 3 & 7 != CALL_IN_GROUP_5:",
        "if False:",
        RULES,
        "what is no call confirms a frame",
    ),
    Mutant(
        "debug_file_of_another",
        "stack/separate.py",
        "if number is not None and number == build_id(elf):",
        "if number is not None:",
        ("tests/stack/test_hostile.py::test_a_debug_file_must_have_the_same_build_id",),
        "functions have the names of another program",
    ),
    Mutant(
        "nearest_symbol",
        "stack/symbols.py",
        "(address < start + size or (not size and start in {address, function}))",
        "(address >= start)",
        ("tests/stack/test_hostile.py::test_a_name_is_never_the_nearest_one",),
        "code without a name gets that of its neighbour",
    ),
    Mutant(
        "kernel_zero_addresses",
        "stack/kallsyms.py",
        "return modules, _index(modules, self._target) if shown else None",
        "return modules, _index(modules, self._target)",
        KERNEL,
        "who may not see addresses of the kernel learns them from another's list",
    ),
    Mutant(
        "doubted_frames",
        "stack/kernel_stack.py",
        "elif not match[2]:",
        "else:",
        KERNEL,
        "words that the kernel doubts are shown as frames",
    ),
    Mutant(
        "half_registers",
        "stack/syscalls.py",
        "registers = [value & 0xFFFFFFFF for value in registers]",
        "registers = list(registers)",
        CALLS,
        "arguments of a 32-bit task are wrong",
    ),
    Mutant(
        "kernel_threads_read_0",
        "stack/syscalls.py",
        "if not at.pc:",
        "if False:",
        CALLS,
        "a kernel thread seems to read from its standard input",
    ),
    Mutant(
        "negative_ints",
        "stack/arguments.py",
        "return value - (1 << 32) if value >> 31 else value",
        "return value",
        CALLS,
        "AT_FDCWD and -1 are shown as huge numbers",
    ),
    Mutant(
        "port_of_the_host",
        "stack/arguments.py",
        'int.from_bytes(raw[2:4], "big")',
        'int.from_bytes(raw[2:4], "little")',
        CALLS,
        "a connect is shown to another port",
    ),
    Mutant(
        "running_thread_unwound",
        "stack/threads.py",
        "if snapshot.steady and (not asked or snapshot.still_steady()):",
        "if True:",
        PARTS,
        "a stack of two moments is shown as one",
    ),
    Mutant(
        "no_deadline",
        "stack/unwind.py",
        "if self.process.target.clock() > self.deadline:",
        "if False:",
        PARTS,
        "a process of ten thousand threads has no stack.txt in time",
    ),
)
