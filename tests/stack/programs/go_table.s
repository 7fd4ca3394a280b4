# A table of functions as Go 1.26 writes it (no beginning of the text), and two functions.

	.text
	.globl runtime.text
runtime.text:
	.globl one, two, _rt0_amd64_linux
one:
	.skip 48, 0x90
two:
	.skip 80, 0x90
_rt0_amd64_linux:
	.skip 16, 0x90
end:

	.section .gopclntab, "aw"
	.balign 8
table:
	.long 0xfffffff1
	.byte 0, 0, 1, 8
	.quad 3, 0
	.ifdef header
	.quad runtime.text
	.else
	.quad 0
	.endif
	.quad names - table, units - table, files - table, values - table, functions - table
names:
	.byte 0
name_one:
	.asciz "main.one"
name_two:
	.asciz "main.two"
name_entry:
	.asciz "_rt0_amd64_linux"
units:
files:
values:
	.byte 0
	.balign 8
functions:
	.long one - runtime.text, row_one - functions
	.long two - runtime.text, row_two - functions
	.long _rt0_amd64_linux - runtime.text, row_entry - functions
	.long end - runtime.text
row_one:
	.long one - runtime.text, name_one - names, 0, 0, 0, 0, 0, 0, 0, 0, 0
row_two:
	.long two - runtime.text, name_two - names, 0, 0, 0, 0, 0, 0, 0, 0, 0
row_entry:
	.long _rt0_amd64_linux - runtime.text, name_entry - names, 0, 0, 0, 0, 0, 0, 0, 0, 0

	.ifdef module
	.section .go.module, "aw"
	.quad table
	.skip 8 * 21
	.quad runtime.text
	.endif
