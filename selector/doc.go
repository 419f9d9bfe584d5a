// Package selector is the language in which a receiver says which messages it wants: the message selectors of
// Jakarta Messaging 3.1, section 3.8.1.1, a part of the conditional expressions of SQL-92.
//
//	JMSType = 'car' AND color IN ('blue', 'grey') AND weight / 1000 > 2.5 AND note NOT LIKE '%_%' ESCAPE '!'
//
// Parse reads a text once, and Eval decides about one message after the other. Names says which identifiers there
// are; a Source gives their values. The package has nothing to do with messages otherwise. It does no I/O, reads no
// clock and allocates nothing while it evaluates. A Selector never changes: any number of goroutines may use it.
//
// # Values
//
// A value is null, a boolean, an exact number (int64), an approximate one (float64), a text, or something else that
// the language has no literals for. Conditions are False, Unknown or True; a message matches if the whole is True.
//
//   - What compares with null is Unknown, and arithmetic with null is null. Only IS NULL is never Unknown.
//   - A comparison of unlike types is False, with <> too. All numbers are alike.
//   - Texts and booleans can be compared by = and <> only. The order of two texts from a message is False, and one
//     with a literal is refused by Parse.
//   - A text or a boolean in arithmetic gives a value that is like nothing.
//   - An identifier as a condition is True if it is the boolean true, Unknown if it is null, False otherwise.
//   - x NOT IN, NOT LIKE and NOT BETWEEN are NOT (x IN, LIKE, BETWEEN). So they are True for an x of another type.
//   - Numbers of both kinds compare by what they are worth: an int64 is not rounded to a float64 for it. Arithmetic
//     with both kinds is done in float64. Exact division drops what is behind the point.
//   - Division by zero and overflow give null. Infinities and NaN come from messages only; NaN equals nothing.
//   - _ in a pattern is one character (a Unicode code point), % any number of them, line ends too. A byte that is not
//     UTF-8 counts as a character.
//
// # Where this differs from the specification
//
//   - Java would round an int64 that is compared with a float64, let exact numbers wrap at 32 or 64 bits, and divide
//     approximate ones by zero. Arithmetic of 32-bit numbers is done in 64 bits here.
//   - The specification makes x NOT BETWEEN a AND b the same as x < a OR x > b. It is so for numbers and null. For a
//     text and for NaN these are False, and NOT BETWEEN is True, as it is in SQL-92.
//   - Identifiers cannot contain the characters that Java calls ignorable (controls, format characters): two names
//     that look alike would differ.
//   - As in SQL-92, an escape character must be followed by _, % or itself, and a number or word must be separated
//     from the next one.
//   - Hexadecimal, octal and binary numbers are the 64 bits that they show: 0xFFFFFFFF is 4294967295.
//
// # Bounds
//
// A text has at most MaxText bytes, MaxDepth levels and MaxNodes nodes. An evaluation takes at most MaxSteps steps:
// a step is one node, or up to eight bytes of a text. What takes more is no match. The same message has the same
// verdict after the same number of steps on every platform: replicas that apply a selector stay alike.
package selector
