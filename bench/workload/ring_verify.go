package workload

import "fmt"

// verify compares what the members delivered in the rings that they share, two at a time, and
// returns where they differ. compared is the most messages that any two were compared over.
func verify(members [][]stretch) (violations []string, compared uint64) {
	for i, a := range members {
		for j := i + 1; j < len(members); j++ {
			total := uint64(0)
			for x := range a {
				for y := range members[j] {
					if a[x].Ring != members[j][y].Ring {
						continue
					}
					n, where := compare(&a[x], &members[j][y])
					total += n
					if where != "" {
						violations = append(violations, fmt.Sprintf("members %d and %d in ring %s: %s", i, j, a[x].Ring, where))
					}
				}
			}
			compared = max(compared, total)
		}
	}
	return violations, compared
}

// compare compares two members' sequences in one ring. It returns how many messages it looked at,
// and where they differ, if they do.
func compare(a, b *stretch) (n uint64, where string) {
	limit := min(a.Agreed, b.Agreed) // members that part agree up to here
	together := a.Next == b.Next
	if together {
		limit = min(a.Count, b.Count)
	}
	every := max(a.Every, b.Every) // powers of two: the larger one's marks are both's
	for at := every; at <= limit; at += every {
		i, j := at/a.Every-1, at/b.Every-1
		if i >= uint64(len(a.Marks)) || j >= uint64(len(b.Marks)) {
			break
		}
		if a.Marks[i] != b.Marks[j] {
			return n, fmt.Sprintf("another order between messages %d and %d", n+1, at)
		}
		n = at
	}
	switch {
	case !together:
	case a.Count == b.Count:
		if a.Hash != b.Hash {
			return n, fmt.Sprintf("another order between messages %d and %d", n+1, a.Count)
		}
		n = a.Count
	case a.Next != "":
		return n, fmt.Sprintf("%d and %d messages, though both went on to %s", a.Count, b.Count, a.Next)
	}
	return n, ""
}

// verifyMarks compares the marks of a member that was killed with what another one delivered.
// Where delivery is safe, all that anybody delivered is delivered by all; agreed delivery promises
// that for what came before the transitional view only.
func verifyMarks(marks []mark, other []stretch, safe bool) (where string, compared uint64) {
	for i := range other {
		s := &other[i]
		for _, m := range marks {
			switch {
			case m.Ring != s.Ring:
				continue
			case m.At > s.Count && safe:
				return fmt.Sprintf("ring %s: message %d was delivered as safe by the member that was killed, here only %d are", s.Ring, m.At, s.Count), compared
			case m.At > s.Agreed && !safe, m.At%s.Every != 0 || m.At/s.Every > uint64(len(s.Marks)):
				continue
			case s.Marks[m.At/s.Every-1] != m.Hash:
				return fmt.Sprintf("ring %s: another order between messages %d and %d than at the member that was killed", s.Ring, compared+1, m.At), compared
			}
			compared = max(compared, m.At)
		}
	}
	return "", compared
}
