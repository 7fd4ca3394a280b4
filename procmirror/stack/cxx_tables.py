"""The letters of mangled C++ names: types, operators and the abbreviations of the library.

Source: Itanium C++ ABI, 5.1.3, 5.1.5 and 5.1.8.
"""

from __future__ import annotations

BUILTINS = {
    "v": "void",
    "w": "wchar_t",
    "b": "bool",
    "c": "char",
    "a": "signed char",
    "h": "unsigned char",
    "s": "short",
    "t": "unsigned short",
    "i": "int",
    "j": "unsigned int",
    "l": "long",
    "m": "unsigned long",
    "x": "long long",
    "y": "unsigned long long",
    "n": "__int128",
    "o": "unsigned __int128",
    "f": "float",
    "d": "double",
    "e": "long double",
    "g": "__float128",
    "z": "...",
    "Dd": "decimal64",
    "De": "decimal128",
    "Df": "decimal32",
    "Dh": "half",
    "Di": "char32_t",
    "Ds": "char16_t",
    "Du": "char8_t",
    "Da": "auto",
    "Dc": "decltype(auto)",
    "Dn": "decltype(nullptr)",
}
# What follows a number of these types; char and the like are cast instead.
SUFFIXES = {"i": "", "j": "u", "l": "l", "m": "ul", "x": "ll", "y": "ull"}

OPERATORS = {
    "aN": "&=",
    "aS": "=",
    "aa": "&&",
    "ad": "&",
    "an": "&",
    "aw": "co_await",
    "cl": "()",
    "cm": ",",
    "co": "~",
    "dV": "/=",
    "da": "delete[]",
    "de": "*",
    "dl": "delete",
    "dv": "/",
    "eO": "^=",
    "eo": "^",
    "eq": "==",
    "ge": ">=",
    "gt": ">",
    "ix": "[]",
    "lS": "<<=",
    "le": "<=",
    "ls": "<<",
    "lt": "<",
    "mI": "-=",
    "mL": "*=",
    "mi": "-",
    "ml": "*",
    "mm": "--",
    "na": "new[]",
    "ne": "!=",
    "ng": "-",
    "nt": "!",
    "nw": "new",
    "oR": "|=",
    "oo": "||",
    "or": "|",
    "pL": "+=",
    "pl": "+",
    "pm": "->*",
    "pp": "++",
    "ps": "+",
    "pt": "->",
    "qu": "?",
    "rM": "%=",
    "rS": ">>=",
    "rm": "%",
    "rs": ">>",
    "ss": "<=>",
}
NONTYPE = {"cl", "nw", "na", "dl", "da", "pt", "qu", "ix", "aw"}

_CHAR = "char, std::char_traits<char>"
# Short and full form, and the name of the constructor.
STANDARD = {
    "t": ("std", "std", "std"),
    "a": ("std::allocator", "std::allocator", "allocator"),
    "b": ("std::basic_string", "std::basic_string", "basic_string"),
    "s": (
        f"std::basic_string<{_CHAR}, std::allocator<char> >",
        f"std::basic_string<{_CHAR}, std::allocator<char> >",
        "basic_string",
    ),
    "i": (f"std::basic_istream<{_CHAR} >", f"std::basic_istream<{_CHAR} >", "basic_istream"),
    "o": (f"std::basic_ostream<{_CHAR} >", f"std::basic_ostream<{_CHAR} >", "basic_ostream"),
    "d": (f"std::basic_iostream<{_CHAR} >", f"std::basic_iostream<{_CHAR} >", "basic_iostream"),
}

# Operators before a type or a value in parentheses.
CASTS = {
    "dc": "dynamic_cast",
    "sc": "static_cast",
    "cc": "const_cast",
    "rc": "reinterpret_cast",
}
OF_TYPES = {"st": "sizeof ", "at": "alignof ", "ti": "typeid "}
OF_VALUES = {"sz": "sizeof ", "az": "alignof ", "nx": "noexcept", "te": "typeid "}
