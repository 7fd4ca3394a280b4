"""Demangled names: as c++filt's, and harmless whatever a symbol table holds."""

from __future__ import annotations

import glob
import random
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.view import Machine
from procmirror.stack import cxx_reader, demangle_cxx, demangle_rust
from procmirror.stack.demangle import function_name
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.user_side import UserFrame
from procmirror.views.pid import stack
from tests.stack.symbols import PLACES, by_filter, differing, sample

SLOW = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
LIBRARY = PLACES[0]


def test_names_are_those_of_cxxfilt() -> None:
    for file in [LIBRARY, *glob.glob(PLACES[1]), *glob.glob(PLACES[2])[:1]]:
        names = sample(file, 1500)
        other = differing(names)
        assert len(other) <= len(names) // 100, other[:3]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("main", "main"),
        ("_ZN1AC1Ev", "A::A()"),
        (
            "_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_",
            "std::remove_reference<int&>::type&& std::move<int&>(int&)",
        ),
        ("_ZNKSt8functionIFvvEEclEv", "std::function<void ()>::operator()() const"),
        ("_ZN1AcvT_IiEEv", "A::operator int<int>()"),
        ("_ZN1AcvPT_IiEEv", "A::operator int*<int>()"),
        ("_Z1fIJidEEvDpT_", "void f<int, double>(int, double)"),
        ("_Z1fIJEEvDpT_", "void f<>()"),
        ("_Z1fPFivE", "f(int (*)())"),
        ("_Z1fPrVKc", "f(char const volatile restrict*)"),
        ("_ZNVK1A1fEv", "A::f() const volatile"),
        ("_Z1fRA5_Kc", "f(char const (&) [5])"),
        ("_ZZ1fvENKUlvE_clEv", "f()::{lambda()#1}::operator()() const"),
        ("_ZTV1A", "vtable for A"),
        ("_ZThn8_N1A1fEv", "non-virtual thunk to A::f()"),
        ("_Z1fv.constprop.0.cold", "f() [clone .constprop.0] [clone .cold]"),
        ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
        ("_ZN26_$LT$T$u20$as$u20$x..Y$GT$3cmp17h0123456789abcdefE", "<T as x::Y>::cmp"),
        ("_RNvNtCsgEmfK2I1SDS_4core3fmt5write", "core::fmt::write"),
        ("_RNCNvC1m4main0B3_", "m::main::{closure#0}"),
        ("_RINvC1m1fKj5_RShE", "m::f::<5, &[u8]>"),
        ("_Z", "_Z"),
        ("_Z1", "_Z1"),
        ("_ZNSt", "_ZNSt"),
        ("_Z9999f", "_Z9999f"),
        ("_Z1fT_", "_Z1fT_"),
        ("_RINvC1a1bKb1_E", "a::b::<true>"),
        ("_RINvC1a1bKb2_E", "_RINvC1a1bKb2_E"),
        ("_RINvC1a1bKcffffffffffff_E", "_RINvC1a1bKcffffffffffff_E"),
    ],
)
def test_some_names(symbol: str, name: str) -> None:
    assert function_name(symbol.encode()) == name


@pytest.mark.parametrize(
    "symbol",
    [
        "_ZNK1AIiEcvT_IfEEv",
        "_ZN1AIiEcvPT_IfEEv",
        "_ZN1AIiEcvT_IS_IcEEEv",
        "_ZN1AI1BIicEEcvT_IPS1_EEv",
        "_ZN1AIiE1BIlEcvT_IfEEv",
        "_ZN1DIcE1EcvP4pairIT_cEIiEEv",
        "_ZN1AIiEcviEv",
        "_ZNK1AIiEcvRKiEv",
        "_ZN1AIiEcv4pairIiiEEv",
        "_ZN1AIiEcvfIlEEv",
        "_Z3useIiEvT_S0_EN1LcvS0_Ev",
    ],
)
def test_conversions_are_those_of_cxxfilt(symbol: str) -> None:
    assert [function_name(symbol.encode())] == by_filter([symbol])


@pytest.mark.parametrize(
    "symbol",
    [
        "_Z2mfI1QvEvMT_KFT0_iRE",
        "_Z2mfI1QvEvMT_VKFPFvvEiOE",
        "_Z2mfI1QvEvMT_KFPFvvEiE",
        "_Z2mfI1QvEvMT_DoFT0_iRE",
        "_Z2mfI1QvEvMT_KDoFT0_iRE",
        "_Z1fPKDoFviES_S0_",
        "_Z1fPKFviES_S0_",
        "_Z1f6uniqueIKFvvEES0_S1_",
    ],
)
def test_qualified_functions_are_those_of_cxxfilt(symbol: str) -> None:
    assert [function_name(symbol.encode())] == by_filter([symbol])


def test_a_conversion_has_its_own_arguments_also_inside_of_its_type() -> None:
    # By g++ of `template<class U> operator pair<U, pair<U, T>>() volatile`; c++filt does not know it.
    name = function_name(b"_ZNV1AIiEcv4pairIT_S1_IS2_iEEIcEEv")
    assert name == "A<int>::operator pair<char, pair<char, int> ><char>() volatile"


def test_a_name_that_would_be_long_stays_as_it_is() -> None:
    # Each pair is twice as long as the one before.
    pairs = b"".join(b"S1_IS%X_S%X_E" % (at, at) for at in range(2, 16))
    bomb = b"_Z1fN1a1bESt4pairIS0_S0_E" + pairs
    assert function_name(bomb) == bomb.decode()
    deep = b"_Z1f" + b"P" * 4000 + b"i"
    assert function_name(deep) == deep.decode()
    long = b"_Z5000" + b"x" * 5000
    assert function_name(long) == long.decode()


ALPHABET = "_ZNSTICDEFGKLMPQRUVXYJ0123456789abcdefghijklmnopqrstuvwxyz$.:"


@SLOW
@given(st.one_of(st.binary(max_size=300), st.text(ALPHABET, max_size=400).map(str.encode)))
def test_any_bytes_give_a_name(rest: bytes) -> None:
    for start in (b"", b"_Z", b"_ZN", b"_R", b"_RNv", b"_Z1fI", b"_GLOBAL__sub_I_"):
        name = function_name(start + rest)
        assert 0 <= len(name) <= max(cxx_reader.MOST_NAME + 100, 4 * len(start + rest))
        name.encode()


@pytest.fixture(scope="module")
def symbols() -> list[str]:
    return sample(LIBRARY, 400)


# By rustc 1.95 of a program that has constants of all kinds in its types.
RUST = (
    "_RNvXs_Csd7U9rWHuKO9_5namesINtB4_6LetterKc27_ENtB4_6Weight5weighB4_",
    "_RNvXs_Csd7U9rWHuKO9_5namesINtB4_4FlagKb1_ENtB4_6Weight5weighB4_",
    "_RINvCsd7U9rWHuKO9_5names2ofINtB2_6LetterKcdf_EAsj4_EB2_",
    "_RINvNtCsd7U9rWHuKO9_5namesu9gre_6ka8iu7ber_goajEB4_",
    "_RNCINvCsd7U9rWHuKO9_5names2ofDNtB4_6WeightNtNtCsgEmfK2I1SDS_4core6marker4SendEL_uE0B4_",
    "_RNvYNCINvC5names2ofuuE0INtNtC4core3ops6FnOnceThEE9call_onceB9_",
    "_RINvC1a1bKb1_Kc41_Kcdf_Kan7_E",
)


def changed(symbol: str, chance: random.Random) -> str:
    """A symbol with some letters replaced, repeated or left out."""
    text = list(symbol)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text))
        action = chance.randrange(3)
        if action == 0:
            text[at] = chance.choice(ALPHABET)
        elif action == 1:
            text[at:at] = text[chance.randrange(len(text)) :][: chance.randint(1, 20)]
        else:
            del text[at : at + chance.randint(1, 5)]
            text = text or ["_"]
    return "".join(text)


@SLOW
@given(seed=st.integers(0, 1 << 32))
def test_changed_symbols_give_a_name_in_few_steps(symbols: list[str], seed: int) -> None:
    chance = random.Random(seed)
    parser = demangle_cxx._Parser("_Z" + changed(chance.choice(symbols), chance)[2:])
    with suppress(cxx_reader.Unknown, ValueError, IndexError, RecursionError):
        parser.symbol()
    assert parser.steps <= cxx_reader.MOST_STEPS + 32


def test_no_changed_symbol_ends_a_demangler(symbols: list[str]) -> None:
    chance = random.Random(1)
    for _ in range(4000):
        demangle_cxx.demangled(("_Z" + changed(chance.choice(symbols), chance)[2:]).encode())
        demangle_rust.demangled(("_R" + changed(chance.choice(RUST), chance)[2:]).encode())


def test_a_demangler_that_fails_costs_no_other_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: bytes) -> str:
        raise AssertionError

    monkeypatch.setattr(demangle_cxx, "demangled", fails)
    assert function_name(b"_Z9unheardofv") == "_Z9unheardofv"


def test_names_take_little_memory() -> None:
    hostile = [
        b"_Z1f" + b"St4pairI" * 400,
        b"_Z1fI" + b"J" * 1000,
        b"_Z1fIJ" + b"i" * 200 + b"EEv" + b"DpDpDpT_",
        b"_Z" + b"N1a" * 1000,
        b"_Z1f" + b"r" * 4000,
        b"_R" + b"I" * 3000,
        b"_RINvC1m1f" + b"B_" * 500 + b"E",
        b"_RC" + b"u900" + b"9" * 900,
    ]
    tracemalloc.start()
    for one in hostile:
        assert function_name(one) == one.decode()
        assert demangle_rust.demangled(one) is None
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 << 20


def frame(symbol: str, function: str) -> UserFrame:
    return UserFrame("0x1", symbol, function, 1, "/x/a.out", 16, None, None, "proven")


def test_the_text_has_the_function_and_a_long_one_moves_no_other() -> None:
    frames = [frame("_Z1fv", "f()"), frame("_Z2", "g" * 100), frame("m", "main")]
    thread = ThreadStack(
        *(7, "x", "S", None, None, None, frames, False, 0, None), complete=True, reason=None
    )
    text = "".join(stack.text(Stacks(7, 0, [thread]), Machine()))
    assert "    #0     f()+0x1   a.out+0x10\n" in text
    assert f"    #1     {'g' * 100}+0x1  a.out+0x10\n" in text
    assert "    #2     main+0x1  a.out+0x10\n" in text
