"""Types of C++ names (Itanium C++ ABI, 5.1.5).

A pattern that a parameter pack expands is parsed again for each of its elements.
"""

from __future__ import annotations

import re

from procmirror.stack.cxx_expressions import Expressions
from procmirror.stack.cxx_reader import Type, Unknown
from procmirror.stack.cxx_tables import BUILTINS

SCANNED = 256  # characters that are looked through for the price of one step
_CV = {"r": " restrict", "V": " volatile", "K": " const"}


class Types(Expressions):
    """Types."""

    def qualifiers(self) -> str:
        """The qualifiers of a type, in the order in which they are written."""
        found = ""
        while (letter := self.peek()) in _CV:
            self.at += 1
            found = _CV[letter] + found
            self.step()
        return found

    def type(self) -> Type:
        """A type, which a substitution may repeat."""
        self.deeper()
        start, size, parametric = self.at, self.size, self.parametric
        self.size, self.parametric = None, False
        first = self.peek()
        if first == "S" and self.peek(2) != "St":
            found = self.substituted(start)
        elif first in BUILTINS:
            self.at += 1
            found = Type(BUILTINS[first])
        elif first == "D" and (builtin := BUILTINS.get(self.peek(2))):
            self.at += 2
            found = Type(builtin)
        else:
            found = self.type_without_substitution()
            self.remember(found, "", start)
        self.size = size if self.met() is None else self.met()
        self.parametric = self.parametric or parametric
        self.depth -= 1
        self.bounded(found.text)
        return found

    def last_of(self, text: str) -> str:
        """The name that a constructor of this type repeats."""
        self.steps += len(text) // SCANNED
        depth = 0
        for at in range(len(text) - 1, -1, -1):
            depth += (text[at] == ">") - (text[at] == "<")
            if depth == 0 and text[at] == ":" and text[at - 1 : at] == ":":
                return text[at + 1 :].partition("<")[0]
        return text.partition("<")[0]

    def substituted(self, start: int) -> Type:
        """A substitution, with template arguments if they follow."""
        found = self.substitution()
        if self.peek() != "I":
            return found.type
        arguments = self.template_arguments()
        kind = Type(f"{found.type.text}{arguments}")
        self.remember(kind, found.last, start)
        return kind

    def type_without_substitution(self) -> Type:  # noqa: C901, PLR0911 - one case each
        """A type that is neither built in nor a substitution."""
        first = self.peek()
        if first in {"r", "V", "K"}:
            return self.qualified()
        if first in {"P", "R", "O"}:
            self.at += 1
            return self.pointer({"P": "*", "R": "&", "O": "&&"}[first])
        match first:
            case "F":
                return self.function_type()
            case "A":
                return self.array()
            case "M":
                return self.member()
            case "T":
                return self.parameter_type()
            case "D":
                return self.d_type()
            case "C" | "G":
                self.at += 1
                words = " _Complex" if first == "C" else " _Imaginary"
                inner = self.type()
                return Type(inner.left + words, inner.right)
            case "U":
                return self.vendor()
            case "u":
                self.at += 1
                return Type(self.source())
        if self.peek(2) in {"Ts", "Tu", "Te"}:
            self.at += 2
        return Type(self.name().text)

    def qualified(self) -> Type:
        """A type with qualifiers."""
        words = self.qualifiers()
        if self.peek() == "F" or self.peek(3) == "DoF":
            # They are part of the function type, which may be repeated with them only.
            return self.type_without_substitution().function(words)
        inner = self.type()
        if inner.kind == "f":
            return inner.function(words)
        left = inner.left
        for word in re.findall(r" \w+", words):
            if not left.endswith(word):
                left += word
        return Type(left, inner.right, inner.kind if inner.kind == "a" else "")

    def pointer(self, sign: str) -> Type:
        """A pointer or a reference; references to references collapse."""
        inner = self.type()
        if inner.kind in {"&", "&&"} and sign != "*":
            if sign == "&" and inner.kind == "&&":
                return Type(inner.left[:-1], inner.right, "&")
            return inner
        kind = "" if sign == "*" else sign
        if inner.kind in {"f", "a"}:
            space = "" if inner.left.endswith((" ", "(")) else " "
            return Type(f"{inner.left}{space}({sign}", f"){inner.right}", kind)
        return Type(inner.left + sign, inner.right, kind)

    def function_type(self) -> Type:
        """`F … E`: a function, the return type first."""
        self.take("Do")
        self.need("F")
        self.take("Y")
        returned = self.type()
        arguments = self.parameters()
        end = " &" if self.take("R") else " &&" if self.take("O") else ""
        end += returned.right
        self.need("E")
        space = "" if returned.right else " "
        return Type(returned.left + space, f"({arguments}){end}", "f", end=end)

    def array(self) -> Type:
        """`A size _ type`."""
        self.need("A")
        size = "" if self.peek() == "_" else self.count()
        self.need("_")
        inner = self.type()
        right = f" [{size}]{inner.right.removeprefix(' ')}" if inner.kind == "a" else None
        return Type(inner.left, right or f" [{size}]{inner.right}", "a")

    def count(self) -> str:
        """A number, or an expression that gives one."""
        return str(self.number()) if self.peek().isdigit() else self.expression()

    def member(self) -> Type:
        """`M class type`: a pointer to a member."""
        self.need("M")
        owner = self.type().text
        inner = self.type()
        if inner.kind in {"f", "a"}:
            space = "" if inner.left.endswith((" ", "(")) else " "
            return Type(f"{inner.left}{space}({owner}::*", f"){inner.right}")
        return Type(f"{inner.left} {owner}::*", inner.right)

    def parameter_type(self) -> Type:
        """A template parameter, with arguments if it is a template."""
        start = self.at
        if self.peek(2) in {"Ts", "Tu", "Te"}:
            self.at += 2
            return Type(self.name().text)
        found = self.template_parameter()
        # Behind `operator T_` stand the arguments of the operator.
        if self.peek() != "I" or self.converting:
            return found
        self.remember(found, found.text, start)
        return Type(f"{found.text}{self.template_arguments()}")

    def template_parameter(self) -> Type:
        r"""What a template parameter stands for; `\0` before its arguments are known."""
        self.need("T")
        index = self.sequence()
        self.parametric = True
        if self.lambdas:
            return Type(f"auto:{index + 1}")
        if index >= len(self.templates):
            self.unresolved = True
            return Type("\0")
        found = self.templates[index]
        if found.pack is None:
            return found
        self.size = len(found.pack)
        if self.element is None:
            return found
        return found.pack[self.element] if self.element < len(found.pack) else Type("")

    def d_type(self) -> Type:
        """The types that begin with `D`."""
        two = self.peek(2)
        if two == "Dp":
            self.at += 2
            return self.expansion()
        if two in {"Dt", "DT"}:
            self.at += 2
            inner = self.expression()
            self.need("E")
            return Type(f"decltype ({inner})")
        if two in {"Do", "DO", "Dw", "Dx"}:
            if two == "Do":
                self.at += 2
                return self.function_type().function(" noexcept")
            raise Unknown
        if two == "Dv":
            self.at += 2
            size = self.count()
            self.need("_")
            return Type(f"{self.type().text} __vector({size})")
        raise Unknown

    def expansion(self) -> Type:
        """The elements of a pack in a pattern, each parsed anew."""
        start, element = self.at, self.element
        self.element = None
        outer, self.size = self.size, None
        pattern = self.type()
        size, end = self.met(), self.at
        if size is None:
            self.element, self.size = element, outer
            return Type(f"{pattern.text}...")
        frozen, self.frozen = self.frozen, True
        found = []
        for index in range(size):
            self.at, self.element = start, index
            found.append(self.type())
        self.frozen, self.at, self.element, self.size = frozen, end, element, outer
        return Type("", pack=tuple(found))

    def vendor(self) -> Type:
        """A qualifier of a vendor, or an unnamed type."""
        if self.peek(2) in {"Ul", "Ut"}:
            return Type(self.name().text)
        self.at += 1
        name = self.source()
        if self.peek() == "I":
            name += self.template_arguments()
        inner = self.type()
        return Type(f"{inner.left} {name}", inner.right)
