//! Stops one call where a test wants it, so that the caller can be killed there.
//!
//! A call is not one moment. It may be stopped before it does anything, after it did
//! everything and before the caller hears of it, or, worst of all, be on its way while
//! its caller dies and others go on, and be carried out then.

use std::sync::mpsc;
use std::time::Duration;

use axum::response::Response;
use tokio::sync::oneshot;

/// Where a call is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It never happens.
    Before,
    /// It happened, and is not answered.
    After,
    /// It happens when the test lets it go.
    Late,
}

/// A call that is stopped, or will be. Dropping it lets the call go.
#[derive(Debug)]
pub struct Held {
    reached: mpsc::Receiver<String>,
    _go: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the call is stopped, and says which it is; `None` when it did not come
    /// in time.
    pub fn wait(&self, time: Duration) -> Option<String> {
        self.reached.recv_timeout(time).ok()
    }
}

/// A call to be stopped.
#[derive(Debug)]
pub(crate) struct Order {
    /// Calls until then, this one included.
    left: u64,
    hold: Hold,
    reached: mpsc::Sender<String>,
    go: oneshot::Receiver<()>,
}

pub(crate) fn order(number: u64, hold: Hold) -> (Held, Order) {
    let (tell, reached) = mpsc::channel();
    let (let_go, go) = oneshot::channel();
    (Held { reached, _go: let_go }, Order { left: number.max(1), hold, reached: tell, go })
}

/// Counts a call, and gives the order if it is the one.
pub(crate) fn is_due(order: &mut Option<Order>) -> Option<Order> {
    let waiting = order.as_mut()?;
    waiting.left -= 1;
    if waiting.left == 0 { order.take() } else { None }
}

impl Order {
    /// Stops, and serves the call if and when it is to be; `None` when nobody is to hear
    /// of it.
    pub(crate) async fn carry_out(
        self,
        name: &str,
        serve: impl FnOnce() -> Response,
    ) -> Option<Response> {
        let Self { hold, reached, go, .. } = self;
        let stop = async {
            // A test that no longer waits has let it go.
            let _ = reached.send(name.to_owned());
            let _ = go.await;
        };
        match hold {
            Hold::Before => {
                stop.await;
                None
            }
            Hold::After => {
                serve();
                stop.await;
                None
            }
            Hold::Late => {
                stop.await;
                Some(serve())
            }
        }
    }
}
