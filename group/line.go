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
		n := copy(l.list, l.all())
		clear(l.list[n:])
		l.list, l.first = l.list[:n], 0
	}
	l.list = append(l.list, v)
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
