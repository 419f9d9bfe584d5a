package figures

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
)

// A Plot draws curves on logarithmic axes as SVG: panels side by side that share a legend, so that each
// has one quantity, and every curve its colour in all of them.
type Plot struct {
	Title   string
	Notes   []string // lines below the title: what everything in it has in common
	Columns int      // panels side by side; zero means 3
	Panels  []Panel
}

// A Panel is a pair of axes and the curves between them. Series of one name look the same in all
// panels of a Plot.
type Panel struct {
	Title  string
	X, Y   Axis
	Series []Series
}

// An Axis is logarithmic. Values that are 0 or less have a place of their own at its low end,
// marked 0. Low and High bound it; zero means what the points need. Format writes a tick's value.
type Axis struct {
	Label     string
	Format    func(v float64) string
	Low, High float64
}

// A Series is a curve, its points in the order in which they are joined. NaN and infinite
// points are left out.
type Series struct {
	Name   string
	Points []Point
}

// A Point is a value and where it was taken.
type Point struct{ X, Y float64 }

// Sizes, in pixels.
const (
	panelWidth, panelHeight = 300, 220 // between the axes
	left, right             = 78, 22   // beside them
	above, below            = 34, 52
	noteHeight              = 18
	zeroStrip               = 28 // of an axis that has a place for 0
	tickLength              = 5
)

// looks are those of the series, in the order of their names: colours that people who see few of
// them can tell apart (Okabe and Ito), and shapes for prints without colour.
var looks = []look{
	{"#0072b2", `<circle cx="%.1f" cy="%.1f" r="3.6"/>`},
	{"#d55e00", `<path d="M%.1f %.1fm-3.4,-3.4h6.8v6.8h-6.8z"/>`},
	{"#009e73", `<path d="M%.1f %.1fm0,-4.4l4.2,7.2h-8.4z"/>`},
	{"#cc79a7", `<path d="M%.1f %.1fm0,-4.6l4,4.6l-4,4.6l-4,-4.6z"/>`},
	{"#56b4e9", `<path d="M%.1f %.1fm-3.4,-3.4l6.8,6.8m0,-6.8l-6.8,6.8"/>`},
}

// look is a colour and a marker, in which the place is to be filled in.
type look struct{ colour, marker string }

// WriteSVG writes f as one SVG document.
func (f *Plot) WriteSVG(w io.Writer) error {
	columns := f.Columns
	if columns == 0 {
		columns = 3
	}
	names := f.names()
	rows := (len(f.Panels) + columns - 1) / columns
	top := 44 + noteHeight*len(f.Notes) + 34 // title, notes, legend
	cellWidth, cellHeight := left+panelWidth+right, above+panelHeight+below
	width, height := columns*cellWidth+8, top+rows*cellHeight+8

	c := &canvas{}
	c.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="Helvetica,Arial,sans-serif" font-size="12" fill="#222">`+"\n", width, height, width, height)
	c.printf("<title>%s</title>\n", html.EscapeString(f.Title))
	c.printf(`<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	c.printf(`<text x="20" y="32" font-size="19" font-weight="bold">%s</text>`+"\n", html.EscapeString(f.Title))
	y := 52
	for _, n := range f.Notes {
		c.printf(`<text x="20" y="%d" fill="#555">%s</text>`+"\n", y, html.EscapeString(n))
		y += noteHeight
	}
	c.legend(names, 20, float64(y+12))
	for i := range f.Panels {
		c.panel(&f.Panels[i], names, float64(i%columns*cellWidth+left), float64(top+i/columns*cellHeight+above))
	}
	c.printf("</svg>\n")
	_, err := w.Write(c.b.Bytes())
	return err
}

// names are those of all series, as they come.
func (f *Plot) names() (names []string) {
	for _, p := range f.Panels {
		for _, s := range p.Series {
			if index(names, s.Name) < 0 {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

func index(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// canvas is a document as it is written.
type canvas struct{ b bytes.Buffer }

func (c *canvas) printf(format string, args ...any) { fmt.Fprintf(&c.b, format, args...) }

// text writes a string that is anchored at its start, middle or end.
func (c *canvas) text(x, y float64, anchor, more, s string) {
	c.printf(`<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
}

func (c *canvas) legend(names []string, x, y float64) {
	for i, n := range names {
		l := looks[i%len(looks)]
		c.printf(`<g stroke="%s" fill="%s"><path d="M%.1f %.1fh28" stroke-width="2"/>`, l.colour, l.colour, x, y)
		c.printf(l.marker, x+14, y)
		c.printf("</g>\n")
		c.text(x+35, y+4, "start", ` font-size="13"`, n)
		x += 60 + 8*float64(len([]rune(n)))
	}
}

// panel draws p with the upper left corner of its axes at x, y.
func (c *canvas) panel(p *Panel, names []string, x, y float64) {
	var xs, ys []float64
	for _, s := range p.Series {
		for _, v := range s.Points {
			if finite(v) {
				xs, ys = append(xs, v.X), append(ys, v.Y)
			}
		}
	}
	h := newScale(p.X, xs, x, x+panelWidth)
	v := newScale(p.Y, ys, y+panelHeight, y)

	c.text(x, y-12, "start", ` font-size="14" font-weight="bold"`, p.Title)
	for _, t := range h.ticks() {
		colour := "#eee"
		if t.label != "" {
			colour = "#d4d4d4"
			c.text(t.at, y+panelHeight+18, "middle", "", t.label)
		}
		c.printf(`<path d="M%.1f %.1fv%d" stroke="%s"/>`+"\n", t.at, y, panelHeight, colour)
	}
	for _, t := range v.ticks() {
		colour := "#eee"
		if t.label != "" {
			colour = "#d4d4d4"
			c.text(x-tickLength-3, t.at+4, "end", "", t.label)
		}
		c.printf(`<path d="M%.1f %.1fh%d" stroke="%s"/>`+"\n", x, t.at, panelWidth, colour)
	}
	c.printf(`<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="none" stroke="#444"/>`+"\n", x, y, panelWidth, panelHeight)
	c.text(x+panelWidth/2, y+panelHeight+40, "middle", "", p.X.Label)
	if p.Y.Label != "" {
		at := y + panelHeight/2
		c.printf(`<text x="%.1f" y="%.1f" text-anchor="middle" transform="rotate(-90 %.1f %.1f)">%s</text>`+"\n", x-62, at, x-62, at, html.EscapeString(p.Y.Label))
	}
	for _, s := range p.Series {
		c.curve(&s, looks[index(names, s.Name)%len(looks)], h, v)
	}
}

// curve draws the points of s and joins them. What is zero has a hollow mark.
func (c *canvas) curve(s *Series, l look, h, v *scale) {
	var path, full, hollow bytes.Buffer
	for _, p := range s.Points {
		if !finite(p) {
			continue
		}
		x, y := h.at(p.X), v.at(p.Y)
		if path.Len() == 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", x, y)
		} else {
			fmt.Fprintf(&path, "L%.1f %.1f", x, y)
		}
		marks := &full
		if p.X <= 0 || p.Y <= 0 {
			marks = &hollow
		}
		fmt.Fprintf(marks, l.marker, x, y)
	}
	if path.Len() == 0 {
		return
	}
	c.printf(`<g stroke="%s"><path d="%s" fill="none" stroke-width="2" stroke-linejoin="round"/>`, l.colour, path.String())
	c.printf(`<g fill="%s">%s</g><g fill="#fff" fill-opacity="0.6" stroke-width="1.4">%s</g></g>`+"\n", l.colour, full.String(), hollow.String())
}

func finite(p Point) bool {
	return !math.IsNaN(p.X) && !math.IsNaN(p.Y) && !math.IsInf(p.X, 0) && !math.IsInf(p.Y, 0)
}
