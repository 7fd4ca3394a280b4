"""Names in C++ symbols, and what they repeat (Itanium C++ ABI, 5.1.2 to 5.1.4 and 5.1.8)."""

from __future__ import annotations

from procmirror.stack.cxx_reader import Name, Substitution, Type, Unknown
from procmirror.stack.cxx_tables import OPERATORS, STANDARD
from procmirror.stack.cxx_types import Types


class Names(Types):
    """Names."""

    def name(self, *, tag: bool = False) -> Name:
        """A name with its template arguments."""
        self.step()
        first = self.peek()
        if first == "N":
            return self.nested(tag=tag)
        if first == "Z":
            return self.local()
        start = self.at
        if first == "S" and self.peek(2) != "St":
            found = self.substitution()
            name = Name(found.type.text, found.last)
            if self.peek() != "I":
                return name
        else:
            prefix = "std::" if self.take("St") else ""
            name = self.unqualified(prefix, "")
            if self.peek() != "I":
                return name
            self.remember(Type(name.text), name.last, start, is_name=True)
        return self.with_arguments(name, tag=tag)

    def with_arguments(self, name: Name, *, tag: bool) -> Name:
        """A template with its arguments."""
        arguments = self.template_arguments(tag=tag)
        text = name.text
        space = " " if text.endswith("<") else ""
        return name._replace(text=self.bounded(f"{text}{space}{arguments}"), template=True)

    def nested(self, *, tag: bool) -> Name:
        """`N … E`: a name in classes and namespaces."""
        self.need("N")
        suffix = self.qualifiers()
        if self.take("R"):
            suffix += " &"
        elif self.take("O"):
            suffix += " &&"
        self.take("H")
        name = Name("")
        start = self.at
        while not self.take("E"):
            self.step()
            name = self.component(name, start, tag=tag)
        return name._replace(suffix=suffix)

    def component(self, name: Name, start: int, *, tag: bool) -> Name:
        """The next part of a nested name."""
        first = self.peek()
        packed = self.size
        if first == "I":
            name = self.with_arguments(name, tag=tag)
        elif first == "S" and self.peek(2) != "St":
            found = self.substitution()
            return Name(found.type.text, found.last)
        elif first == "T":
            name = Name(self.template_parameter().text)
        elif first == "D" and self.peek(2) in {"Dt", "DT"}:
            name = Name(self.type_without_substitution().text)
        elif self.peek(2) == "St":
            self.at += 2
            return Name("std", "std")
        elif first == "M":
            self.at += 1
            return name
        elif self.peek(2) == "cv":
            before = f"{name.text}::" if name.text else ""
            name = self.conversion(before, tag=tag)
            if name.template:
                return name
        else:
            before = f"{name.text}::" if name.text else ""
            name = self.unqualified(before, name.last)
        self.bounded(name.text)
        if self.peek() != "E":
            self.remember(Type(name.text), name.last, start, is_name=True, packed=packed)
        return name

    def conversion(self, before: str, *, tag: bool) -> Name:
        """`cv type`: a conversion, with its template arguments if its type depends on them.

        They follow the type. Only where there are none its parameters are those of the class.
        """
        position, known = self.at, len(self.substitutions)
        templates, self.templates = self.templates, []
        unresolved, self.unresolved = self.unresolved, False
        name = self.unqualified(before, "")
        depends, self.unresolved = self.unresolved, unresolved
        self.templates = templates
        if not depends:
            return name
        if self.peek() != "I":
            if not self.frozen:
                del self.substitutions[known:]
            self.at = position
            return self.unqualified(before, "")
        self.remember(Type(name.text), name.last, position, is_name=True)
        arguments = self.template_arguments(tag=tag)
        end, frozen = self.at, self.frozen
        self.at, self.frozen = position, True
        again = self.unqualified(before, "")
        self.at, self.frozen = end, frozen
        return again._replace(text=f"{again.text}{arguments}", template=True)

    def unqualified(self, before: str, last: str) -> Name:
        """One name without what it is in; `before` is put in front."""
        self.take("L")
        first = self.peek()
        if first.isdigit():
            name = self.source()
            found = Name(before + name, name)
        elif first == "C" and self.raw[self.at + 1 : self.at + 2] in {"1", "2", "3", "4", "5", "I"}:
            self.at += 2
            if self.raw[self.at - 1] == "I":
                self.at += 1
                self.type()
            last = last or self.last_of(before.removesuffix("::"))
            found = Name(before + last, last, returns=False)
        elif first == "D" and self.raw[self.at + 1 : self.at + 2] in {"0", "1", "2", "4", "5"}:
            self.at += 2
            last = last or self.last_of(before.removesuffix("::"))
            found = Name(f"{before}~{last}", last, returns=False)
        elif self.peek(2) == "DC":
            found = self.bindings(before)
        elif first == "U":
            name = self.unnamed()
            found = Name(before + name, name)
        else:
            found = self.operator(before)
        while self.take("B"):
            found = found._replace(text=f"{found.text}[abi:{self.source()}]")
        return found

    def bindings(self, before: str) -> Name:
        """`DC … E`: a structured binding."""
        self.at += 2
        names = []
        while not self.take("E"):
            names.append(self.source())
        return Name(f"{before}[{', '.join(names)}]")

    def source(self) -> str:
        """A length and an identifier."""
        size = self.number()
        name = self.peek(size)
        if not size or len(name) != size:
            raise Unknown
        self.at += size
        if name.startswith("_GLOBAL_") and name[8:10] in {"_N", ".N", "$N"}:
            return "(anonymous namespace)"
        return name

    def unnamed(self) -> str:
        """`Ut` or `Ul`: a type or a lambda without a name."""
        self.at += 1
        if self.take("t"):
            index = self.ordinal()
            return f"{{unnamed type#{index}}}"
        self.need("l")
        self.lambdas += 1
        while self.peek() == "T" and self.peek(2) in {"Ty", "Tn", "Tt", "Tp"}:
            raise Unknown
        arguments = self.parameters()
        self.lambdas -= 1
        self.need("E")
        return f"{{lambda({arguments})#{self.ordinal()}}}"

    def ordinal(self) -> int:
        """The ordinal number of an unnamed type or function, from 1."""
        index = self.number() + 2 if self.peek().isdigit() else 1
        self.need("_")
        return index

    def operator(self, before: str) -> Name:
        """An operator or a conversion."""
        two = self.peek(2)
        self.at += 2
        if two == "cv":
            unresolved, self.unresolved = self.unresolved, False
            converting, self.converting = self.converting, True
            kind = self.type()
            self.converting = converting
            self.unresolved = self.unresolved or unresolved
            return Name(f"{before}operator {kind.text}", "cv", returns=False)
        if two == "li":
            return Name(f'{before}operator"" {self.source()}')
        if two not in OPERATORS:
            raise Unknown
        symbol = OPERATORS[two]
        space = " " if symbol[0].isalpha() else ""
        return Name(f"{before}operator{space}{symbol}")

    def local(self) -> Name:
        """`Z encoding E name`: a name in a function."""
        self.need("Z")
        templates = self.templates
        outer = self.encoding()
        self.templates, inner = templates, self.templates
        self.need("E")
        if self.take("s"):
            self.discriminator()
            return Name(f"{outer}::string literal")
        prefix = ""
        if self.take("d"):
            index = self.number() + 2 if self.peek().isdigit() else 1
            self.need("_")
            prefix = f"{{default arg#{index}}}::"
        self.templates = inner
        name = self.name(tag=True)
        self.discriminator()
        return name._replace(text=self.bounded(f"{outer}::{prefix}{name.text}"))

    def discriminator(self) -> None:
        """Which of several local names; it is left out."""
        if self.take("__"):
            self.number()
            self.need("_")
        elif self.peek() == "_" and self.raw[self.at + 1 : self.at + 2].isdigit():
            self.at += 2

    def remember(
        self, kind: Type, last: str, at: int, *, is_name: bool = False, packed: int | None = None
    ) -> None:
        """Keep what a substitution may repeat."""
        if not self.frozen:
            depends = self.size is not None and packed is None
            context = (self.templates, self.lambdas) if self.parametric else None
            found = Substitution(kind, last, at, depends, is_name, context)
            self.substitutions.append(found)

    def substitution(self) -> Substitution:
        """`S_`, `S0_`, `Ss` and so on."""
        self.need("S")
        letter = self.peek()
        if letter in STANDARD:
            self.at += 1
            short, full, last = STANDARD[letter]
            text = full if self.peek() in {"C", "D"} else short
            found = Substitution(Type(text), last, 0, packed=False, is_name=True)
            tagged = text
            while self.take("B"):
                tagged += f"[abi:{self.source()}]"
            if tagged != text:
                self.remember(Type(tagged), last, 0, is_name=True)
            return found._replace(type=Type(tagged))
        index = self.sequence()
        if index >= len(self.substitutions):
            raise Unknown
        found = self.substitutions[index]
        if found.packed:
            found = self.again(found)
        elif found.context is not None and not found.is_name and self.elsewhere(found.context):
            found = found._replace(type=self.parsed_at(found.at))
        return found

    def elsewhere(self, context: tuple[list[Type], int]) -> bool:
        """Whether template parameters stand for something else here."""
        return context[0] is not self.templates or context[1] != self.lambdas

    def parsed_at(self, at: int) -> Type:
        """The type at another place once more."""
        end, frozen = self.at, self.frozen
        self.at, self.frozen = at, True
        kind = self.type()
        self.at, self.frozen = end, frozen
        return kind

    def again(self, found: Substitution) -> Substitution:
        """A substitution that depends on a pack, for the element at hand."""
        self.size = self.size or 0
        if self.element is None or found.is_name:
            for one in self.templates:
                if one.pack is not None:
                    self.size = len(one.pack)
            return found
        return found._replace(type=self.parsed_at(found.at))
