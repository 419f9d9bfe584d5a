package blaze_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

