//! Runs the clients against the API in the order of time.
//!
//! One queue holds when each client comes next. So memory grows with the number
//! of clients and not with the length of the simulation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::calendar::Millis;
use super::call::Call;
use super::delivery::{Delivered, Delivery};
use super::dice::Dice;
use super::format::Format;
use super::population::{self, Plan, ROLES};
use super::truth::Witness;

/// What a simulation leaves behind, beside the objects.
pub(crate) struct Run {
    pub(crate) witness: Witness,
    pub(crate) delivered: Delivered,
}

/// Simulates until the plan's end, or, with a target, until that much text was delivered:
/// then the same cast comes again, shift by shift.
pub(crate) fn run(
    plan: &Plan,
    target_bytes: Option<u64>,
    format: &mut Format,
    mut delivery: Delivery<'_>,
) -> Result<Run, String> {
    let mut witness = Witness::new(ROLES);
    let mut call = Call::new();
    let mut record = Vec::new();
    let length = plan.end - plan.start;
    let mut gateway = Dice::new(plan.seed, "gateway", 0);
    let enough =
        |delivery: &Delivery<'_>| target_bytes.is_some_and(|bytes| delivery.text_bytes() >= bytes);
    for shift in 0_u32.. {
        let start = plan.start + Millis::from(shift) * length;
        let plan = Plan { start, end: start + length, shift: shift.into(), ..*plan };
        let mut members = population::cast(&plan);
        let mut queue: BinaryHeap<Reverse<(Millis, usize)>> = members
            .iter()
            .enumerate()
            .map(|(index, member)| Reverse((member.first, index)))
            .collect();
        while let Some(Reverse((now, index))) = queue.pop() {
            if now >= plan.end || enough(&delivery) {
                break;
            }
            delivery.advance(now)?;
            let member = &mut members[index];
            call.begin(now);
            let next = member.actor.act(now, &mut call);
            call.settle(format.api(), &mut gateway);
            witness.note(member.role, now, call.client);
            record.clear();
            format.render(&call, &mut record);
            delivery.send(now + Millis::from(call.latency_ms), &record);
            if let Some(next) = next {
                queue.push(Reverse((next, index)));
            }
        }
        if target_bytes.is_none() || enough(&delivery) {
            break;
        }
    }
    Ok(Run { witness, delivered: delivery.finish()? })
}
