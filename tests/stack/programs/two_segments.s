# Code in two segments: ONE and TWO are their sizes, without the call that blocks.

	.section .one, "ax"
	.globl _start, one
_start:
	mov $34, %eax	# pause
	syscall
	.type one, @function
one:
	.skip ONE, 0x90
	.size one, . - one

	.section .two, "ax"
	.globl two
	.type two, @function
two:
	.skip TWO, 0x90
	.size two, . - two
