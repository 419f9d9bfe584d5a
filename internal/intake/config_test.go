package intake

import "github.com/activeblaze/blaze/clock"

func benchConfig(h func(*Message)) Config {
	stock := new(Stock)
	stock.SetLimit(8 << 20)
	return Config{
		Size: 4096, Handle: h, Resume: func() {}, Full: func(int) {}, Slow: func(Slow) {},
		Stock: stock, Watch: NewWatch(func() clock.Time { return 1 }), Counters: new(Counters),
	}
}
