module shapes
contains
  recursive function area(n) result(total)
    integer, intent(in) :: n
    integer :: total
    total = n
    if (n > 0) total = total + area(n - 1)
  end function area
end module shapes
program sums
  use shapes
  real :: a(100, 100), b(100, 100)
  integer :: i
  call random_number(a)
  b = matmul(a, transpose(a))
  do i = 1, 3
    print *, area(i), sum(b), maxval(b)
  end do
end program sums
