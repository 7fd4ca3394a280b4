"""Template arguments and expressions of C++ names (Itanium C++ ABI, 5.1.6 and 5.1.5.8)."""

from __future__ import annotations

import re

from procmirror.stack.cxx_reader import Reader, Type, Unknown
from procmirror.stack.cxx_tables import CASTS, NONTYPE, OF_TYPES, OF_VALUES, OPERATORS, SUFFIXES


class Expressions(Reader):
    """What may stand between angle brackets."""

    def template_arguments(self, *, tag: bool = False) -> str:
        """`I … E`: the arguments in angle brackets."""
        self.need("I")
        lambdas, self.lambdas = self.lambdas, 0
        found: list[Type] = []
        while not self.take("E"):
            found.append(self.template_argument())
        self.lambdas = lambdas
        if tag:
            self.templates = found
        text = self.bounded(", ".join(text for one in found if (text := one.text)))
        # c++filt leaves no space behind a pack without elements.
        closing = " >" if found and found[-1].text.endswith(">") else ">"
        return f"<{text}{closing}"

    def template_argument(self) -> Type:
        """A type, a literal, an expression or a pack."""
        self.step()
        first = self.peek()
        if first == "L":
            return Type(self.literal())
        if first == "X":
            self.at += 1
            found = self.expression()
            self.need("E")
            return Type(found)
        if first in {"J", "I"}:
            self.at += 1
            pack = []
            while not self.take("E"):
                pack.append(self.template_argument())
            return Type("", pack=tuple(pack))
        return self.type()

    def literal(self) -> str:
        """`L type value E`, or `L_Z encoding E`."""
        self.need("L")
        if self.take("_Z") or self.take("Z"):
            templates = self.templates
            found = self.encoding(top=True)
            self.templates = templates
            self.need("E")
            return found
        letter = self.peek()
        kind = self.type().text
        negative = "-" if self.take("n") else ""
        match = re.compile(r"[^E]*").match(self.raw, self.at)
        value = match[0] if match else ""
        self.at += len(value)
        self.need("E")
        if letter == "b" and value in {"0", "1"}:
            return "true" if value == "1" else "false"
        if letter in SUFFIXES:
            return f"{negative}{value}{SUFFIXES[letter]}"
        if letter in {"f", "d", "e", "g"}:
            return f"({kind})[{value}]"
        return f"({kind}){negative}{value}"

    def expression(self) -> str:
        """An expression."""
        self.deeper()
        found = self.bounded(self.any_expression())
        self.depth -= 1
        return found

    def any_expression(self) -> str:
        """One of the kinds of expressions."""
        first, two = self.peek(), self.peek(2)
        if first == "L":
            return self.literal()
        if first == "T":
            return self.template_parameter().text
        if two in {"fp", "fL"}:
            return self.function_parameter()
        if first.isdigit() or two in {"on", "dn"}:
            return self.simple_name()
        if two == "sr":
            return self.scoped()
        return self.operation()

    def function_parameter(self) -> str:
        """`fp_`, `fp0_`, `fL…`, `fpT` (this)."""
        self.at += 2
        if self.raw[self.at - 1] == "L":
            self.number()
            self.need("p")
        if self.take("T"):
            return "this"
        self.qualifiers()
        index = self.number() + 2 if self.peek().isdigit() else 1
        self.need("_")
        return f"{{parm#{index}}}"

    def simple_name(self) -> str:
        """An identifier or an operator, with template arguments."""
        if self.take("on"):
            found = self.operator("").text
        else:
            self.take("dn")
            found = self.source()
        return found + (self.template_arguments() if self.peek() == "I" else "")

    def scoped(self) -> str:
        """`sr`: a name in a type that depends on a template parameter."""
        self.at += 2
        levels = []
        if self.take("N"):
            levels.append(self.type().text)
        elif not self.peek().isdigit():
            return f"{self.type().text}::{self.simple_name()}"
        while self.peek().isdigit():
            levels.append(self.simple_name())
        if self.take("E"):
            levels.append(self.simple_name())
        return "::".join(levels)

    def listed(self, end: str = "E") -> str:
        """Expressions up to `end`."""
        found = []
        while not self.take(end):
            text = self.expression()
            if text:
                found.append(text)
        return ", ".join(found)

    def operation(self) -> str:  # noqa: C901, PLR0911 - one case each
        """An operator with its operands."""
        two = self.peek(2)
        self.at += 2
        match two:
            case "cl":
                called = self.expression()
                return f"{called}({self.listed()})"
            case "cv":
                return self.cast()
            case "tl":
                return f"{self.type().text}{{{self.listed()}}}"
            case "il":
                return f"{{{self.listed()}}}"
            case _ if two in CASTS:
                kind = self.type().text
                return f"{CASTS[two]}<{kind}>({self.expression()})"
            case _ if two in OF_TYPES:
                return f"{OF_TYPES[two]}({self.type().text})"
            case _ if two in OF_VALUES:
                return f"{OF_VALUES[two]}({self.expression()})"
            case "sZ":
                return f"sizeof...({self.expression() if self.peek() != 'T' else self.packed()})"
            case "sp":
                return self.spread()
            case "dt" | "pt":
                left = self.expression()
                return f"{left}{'.' if two == 'dt' else '->'}{self.expression()}"
            case "qu":
                test, yes, no = self.expression(), self.expression(), self.expression()
                return f"({test})?({yes}) : ({no})"
            case "ix":
                left, right = self.expression(), self.expression()
                return f"({left})[{right}]"
        return self.arithmetic(two)

    def packed(self) -> str:
        """The number of elements of a pack."""
        found = self.template_parameter()
        return found.text

    def cast(self) -> str:
        """`cv type expression`, or with `_` a list."""
        kind = self.type().text
        if self.take("_"):
            return f"({kind})({self.listed()})"
        return f"({kind})({self.expression()})"

    def spread(self) -> str:
        """`sp`: an expression for each element of a pack."""
        start, element = self.at, self.element
        self.element, outer, self.size = None, self.size, None
        pattern = self.expression()
        size, end = self.met(), self.at
        if size is None:
            self.element, self.size = element, outer
            return f"({pattern})..."
        frozen, self.frozen = self.frozen, True
        found = []
        for index in range(size):
            self.at, self.element = start, index
            found.append(self.expression())
        self.frozen, self.at, self.element, self.size = frozen, end, element, outer
        return ", ".join(found)

    def addressed(self) -> str:
        """A function or variable whose address is a template argument."""
        self.at += 3
        templates = self.templates
        name = self.name(tag=True)
        found = name.text
        if self.peek() != "E":
            whole = self.function(name, top=True)
            found = found if "::" in found and not name.template else f"({whole})"
        self.templates = templates
        self.need("E")
        return found

    def operand(self) -> str:
        """An expression, in parentheses unless it is simple."""
        simple = self.peek(2) in {"fp", "fL", "sr", "on", "dn"} or self.peek() == "T"
        simple = simple or self.peek().isdigit()
        found = self.expression()
        return found if simple else f"({found})"

    def arithmetic(self, two: str) -> str:
        """A unary or binary operator."""
        if two not in OPERATORS or two in NONTYPE:
            raise Unknown
        symbol = OPERATORS[two]
        left = self.addressed() if two == "ad" and self.peek(3) == "L_Z" else self.operand()
        if two in {"ps", "ng", "ad", "de", "co", "nt"}:
            return f"{symbol}{left}"
        if two in {"pp", "mm"}:
            return f"{left}{symbol}"
        right = self.operand()
        found = f"{left}{symbol}{right}"
        return f"({found})" if ">" in symbol else found
