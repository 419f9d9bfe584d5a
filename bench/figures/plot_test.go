package figures

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// figure has everything that the package draws.
func figure() *Plot {
	curve := func(name string, y ...float64) Series {
		s := Series{Name: name}
		for i, v := range y {
			s.Points = append(s.Points, Point{X: math.Pow(10, float64(i)), Y: v})
		}
		return s
	}
	return &Plot{
		Title: "Less & more <of it>", Notes: []string{"first", "second"},
		Panels: []Panel{
			{Title: "one", X: Axis{Label: "x"}, Y: Axis{Label: "y"}, Series: []Series{curve("a", 1, 20, 300), curve("b", 3, 2, 1)}},
			{Title: "zeros", Series: []Series{curve("b", 0, 0, 5), curve("c", 0, 0, 0)}},
			{Title: "gaps", Series: []Series{curve("a", math.NaN(), 4, math.Inf(1))}},
			{Title: "nothing"},
		},
	}
}

func svg(t *testing.T, f *Plot) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSVGIsWellFormed(t *testing.T) {
	text := svg(t, figure())
	d := xml.NewDecoder(strings.NewReader(text))
	count := map[string]int{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
	if count["svg"] != 1 || count["title"] != 1 || count["text"] < 20 {
		t.Errorf("elements %v", count)
	}
	for _, want := range []string{"Less &amp; more &lt;of it&gt;", ">first<", ">second<", ">one<", ">a<", ">b<", ">c<", ">x<", ">y<"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in it", want)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q in it", bad)
		}
	}
	if other := svg(t, figure()); other != text {
		t.Error("the same figure is drawn in two ways")
	}
}

// A series keeps its colour in a panel where it comes first.
func TestSeriesLookTheSameEverywhere(t *testing.T) {
	f := figure()
	text := svg(t, f)
	at := strings.Index(text, ">zeros<")
	if at < 0 || strings.Index(text[at:], looks[1].colour) > strings.Index(text[at:], looks[2].colour) ||
		strings.Contains(text[at:strings.Index(text, ">gaps<")], looks[0].colour) {
		t.Error("series b is not drawn in its colour")
	}
}

func TestAnErrorOfTheWriterIsToldToTheCaller(t *testing.T) {
	want := errors.New("full")
	if err := figure().WriteSVG(failing{want}); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestScale(t *testing.T) {
	s := newScale(Axis{}, []float64{0.03, 7, 40}, 100, 0)
	if s.low != 0.02 || s.high != 50 || s.has {
		t.Errorf("0.03 to 40 are shown from %v to %v, zero %v", s.low, s.high, s.has)
	}
	for _, c := range []struct{ v, want float64 }{{0.02, 100}, {1, 50}, {50, 0}, {0.001, 100}, {1e6, 0}} {
		if got := s.at(c.v); math.Abs(got-c.want) > 0.01 {
			t.Errorf("%v is at %v, want %v", c.v, got, c.want)
		}
	}
	// One that has a place for 0 keeps it apart from the least value that it shows.
	s = newScale(Axis{}, []float64{0, 1, 10}, 100, 0)
	if !s.has || !(s.at(0) > s.at(1)+5 && s.at(0) < 100) || s.at(10) != 0 {
		t.Errorf("0, 1, 10 are at %v, %v, %v", s.at(0), s.at(1), s.at(10))
	}
	for _, values := range [][]float64{nil, {0}, {7}, {1}, {1e-9, 1e9}} {
		s := newScale(Axis{}, values, 0, 100)
		if !(s.low > 0 && s.high > s.low) || math.IsNaN(s.at(1)) || len(s.ticks()) == 0 {
			t.Errorf("%v: from %v to %v", values, s.low, s.high)
		}
	}
	if s = newScale(Axis{Low: 1, High: 1000}, []float64{5}, 0, 3); s.low != 1 || s.high != 1000 || s.at(10) != 1 {
		t.Errorf("the axis is not as wide as it was asked to be: %v to %v", s.low, s.high)
	}
}

func TestUpAndDown(t *testing.T) {
	for _, c := range []struct{ v, down, up float64 }{{1, 1, 1}, {0.1, 0.1, 0.1}, {3, 2, 5}, {7, 5, 10}, {0.0009, 0.0005, 0.001}, {20, 20, 20}, {1e6, 1e6, 1e6}} {
		if down, up := RoundDown(c.v), RoundUp(c.v); math.Abs(down/c.down-1) > 1e-9 || math.Abs(up/c.up-1) > 1e-9 {
			t.Errorf("%v is between %v and %v, want %v and %v", c.v, down, up, c.down, c.up)
		}
	}
}

func TestTicks(t *testing.T) {
	labels := func(low, high float64) (s []string) {
		for _, k := range newScale(Axis{Low: low, High: high}, nil, 0, 1).ticks() {
			if k.label != "" {
				s = append(s, k.label)
			}
		}
		return s
	}
	for _, c := range []struct {
		low, high float64
		want      string
	}{{0.01, 20, "0.01 0.1 1 10"}, {10, 100, "10 20 50 100"}, {2, 50, "2 5 10 20 50"}, {0.001, 1, "0.001 0.01 0.1 1"}} {
		if got := strings.Join(labels(c.low, c.high), " "); got != c.want {
			t.Errorf("from %v to %v: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}
