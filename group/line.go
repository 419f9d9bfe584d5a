package group

// line is a queue of elements in order. Taking from its front moves nothing.
type line[T any] struct {
	list  []T
	first int // those before it were taken
}

func (l *line[T]) len() int { return len(l.list) - l.first }

func (l *line[T]) at(i int) T { return l.list[l.first+i] }

// all lends the elements until the next call.
func (l *line[T]) all() []T { return l.list[l.first:] }

func (l *line[T]) push(v T) {
	if len(l.list) == cap(l.list) && l.first > len(l.list)/2 {
		l.keep(copy(l.list, l.all()))
	}
	l.list = append(l.list, v)
}

// keep cuts the list behind its first n elements, which are all that there are.
func (l *line[T]) keep(n int) {
	clear(l.list[n:])
	l.list, l.first = l.list[:n], 0
}

// insert puts v before element i.
func (l *line[T]) insert(i int, v T) {
	if i == 0 && l.first > 0 {
		l.first--
		l.list[l.first] = v
		return
	}
	l.push(v)
	rest := l.all()[i:]
	copy(rest[1:], rest)
	rest[0] = v
}

// remove takes out element i.
func (l *line[T]) remove(i int) T {
	v := l.at(i)
	rest := l.all()
	copy(rest[1:i+1], rest[:i])
	var none T
	rest[0] = none
	if l.first++; l.first == len(l.list) {
		l.list, l.first = l.list[:0], 0
	}
	return v
}

// filter takes out each element for which drop is true, in order.
func (l *line[T]) filter(drop func(v T) bool) {
	n := 0
	for _, v := range l.all() {
		if !drop(v) {
			l.list[n] = v
			n++
		}
	}
	l.keep(n)
}
