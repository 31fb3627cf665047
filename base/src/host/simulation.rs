//! CPUs made of threads, and a clock that is virtual or real.
//!
//! A simulation has a number of CPUs. A thread joins it as one of them ([`Simulation::join`]) or as
//! somebody outside the machine ([`Simulation::attach`]), and from then on the free functions here
//! answer for it; a [`Machine`](crate::machine::Machine) for the host passes its methods to them. So
//! many simulations run in one test program, each with its own time.
//!
//! Virtual time moves a little with each look at the clock, so that a loop sees it pass, and jumps to
//! the next armed timer when every CPU is idle and nobody is attached from outside.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Instant;

/// How far one look at a virtual clock moves it, in nanoseconds.
const LOOK: u64 = 20;

/// How a simulation's clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// With the looks at it, and by jumps when all CPUs are idle.
    Virtual,
    /// With the host's clock.
    Real,
}

/// CPUs made of threads.
pub struct Simulation {
    clock: Clock,
    started: std::time::Instant,
    /// Virtual time in nanoseconds.
    now: AtomicU64,
    state: Mutex<State>,
    bells: Vec<Condvar>,
}

struct State {
    cpus: Vec<CpuState>,
    /// Threads attached from outside, which may still ring a bell.
    outside: usize,
}

#[derive(Clone, Default)]
struct CpuState {
    armed: Option<u64>,
    kicked: bool,
    halted: bool,
}

std::thread_local!(static PLACE: RefCell<Option<(Arc<Simulation>, Option<usize>)>> = const { RefCell::new(None) });

/// While it lives, the thread belongs to the simulation.
#[must_use]
pub struct Membership {
    before: Option<(Arc<Simulation>, Option<usize>)>,
    attached: Option<Arc<Simulation>>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let before = self.before.take();
        PLACE.with_borrow_mut(|place| *place = before);
        if let Some(simulation) = self.attached.take() {
            let mut state = simulation.lock();
            state.outside -= 1;
            simulation.jump(&mut state);
        }
    }
}

impl Simulation {
    /// A simulation of `cpus` CPUs.
    #[must_use]
    pub fn new(cpus: usize, clock: Clock) -> Arc<Simulation> {
        Arc::new(Simulation {
            clock,
            started: std::time::Instant::now(),
            now: AtomicU64::new(1),
            state: Mutex::new(State { cpus: vec![CpuState::default(); cpus], outside: 0 }),
            bells: (0..cpus).map(|_| Condvar::new()).collect(),
        })
    }

    /// Makes this thread CPU `cpu`.
    pub fn join(self: &Arc<Self>, cpu: usize) -> Membership {
        let place = Some((Arc::clone(self), Some(cpu)));
        Membership { before: PLACE.replace(place), attached: None }
    }

    /// Makes this thread somebody outside the machine who can ring its bells. Virtual time does not
    /// jump while such a thread is attached.
    pub fn attach(self: &Arc<Self>) -> Membership {
        self.lock().outside += 1;
        let place = Some((Arc::clone(self), None));
        Membership { before: PLACE.replace(place), attached: Some(Arc::clone(self)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that failed on one thread must not hang the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        match self.clock {
            Clock::Virtual => self.now.fetch_add(LOOK, Ordering::AcqRel) + LOOK,
            Clock::Real => self.started.elapsed().as_nanos() as u64,
        }
    }

    fn kick(&self, cpu: usize) {
        let mut state = self.lock();
        if let (Some(target), Some(bell)) = (state.cpus.get_mut(cpu), self.bells.get(cpu)) {
            target.kicked = true;
            bell.notify_one();
        }
    }

    fn arm(&self, cpu: usize, deadline: Option<Instant>) {
        if let Some(target) = self.lock().cpus.get_mut(cpu) {
            target.armed = deadline.map(Instant::as_nanos);
        }
    }

    /// Takes what is pending for `cpu`. True when there was something.
    fn take_interrupts(&self, state: &mut State, cpu: usize) -> bool {
        let now = self.now();
        let Some(target) = state.cpus.get_mut(cpu) else { return true };
        let kicked = std::mem::take(&mut target.kicked);
        let expired = target.armed.take_if(|deadline| *deadline <= now).is_some();
        kicked || expired
    }

    fn halt(&self, cpu: usize, work_pending: &dyn Fn() -> bool) {
        if work_pending() {
            return;
        }
        let mut state = self.lock();
        while !self.take_interrupts(&mut state, cpu) && !work_pending() {
            if let Some(target) = state.cpus.get_mut(cpu) {
                target.halted = true;
            }
            self.jump(&mut state);
            state = self.wait(state, cpu);
            if let Some(target) = state.cpus.get_mut(cpu) {
                target.halted = false;
            }
        }
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, cpu: usize) -> MutexGuard<'a, State> {
        let now = self.now();
        let Some(target) = state.cpus.get(cpu) else { return state };
        let due = target.armed.is_some_and(|deadline| deadline <= now);
        if due || target.kicked {
            return state;
        }
        let bell = &self.bells[cpu];
        match (self.clock, target.armed) {
            (Clock::Real, Some(deadline)) => {
                let pause = Duration::from_nanos(deadline - now);
                bell.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
            }
            _ => bell.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves virtual time to the next armed timer when nothing else can happen before.
    fn jump(&self, state: &mut State) {
        let can_act = |cpu: &CpuState| !cpu.halted || cpu.kicked;
        if self.clock == Clock::Real || state.outside > 0 || state.cpus.iter().any(can_act) {
            return;
        }
        let Some(next) = state.cpus.iter().filter_map(|cpu| cpu.armed).min() else { return };
        self.now.fetch_max(next, Ordering::AcqRel);
        for (cpu, bell) in state.cpus.iter().zip(&self.bells) {
            if cpu.armed.is_some_and(|deadline| deadline <= next) {
                bell.notify_one();
            }
        }
    }
}

fn here<R>(answer: impl FnOnce(&Simulation, Option<usize>) -> R) -> Option<R> {
    PLACE.with_borrow(|place| place.as_ref().map(|(simulation, cpu)| answer(simulation, *cpu)))
}

/// The time of this thread's simulation; the host's when it belongs to none.
#[must_use]
pub fn now() -> Instant {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    here(|simulation, _| Instant::from_nanos(simulation.now()))
        .unwrap_or_else(|| Instant::BOOT + STARTED.get_or_init(std::time::Instant::now).elapsed())
}

/// The CPU that this thread is; 0 when it is none.
#[must_use]
pub fn cpu_id() -> usize {
    here(|_, cpu| cpu).flatten().unwrap_or(0)
}

/// Number of CPUs of this thread's simulation; 1 when it belongs to none.
#[must_use]
pub fn cpu_count() -> usize {
    here(|simulation, _| simulation.bells.len()).unwrap_or(1)
}

/// Rings the bell of a CPU of this thread's simulation.
pub fn kick(cpu: usize) {
    here(|simulation, _| simulation.kick(cpu));
}

/// Halts this thread until its CPU's bell rings or its timer is due, unless `work_pending` says that
/// there is work.
pub fn wait_for_interrupt(work_pending: &dyn Fn() -> bool) {
    // Cloned out, because the thread's place must not stay borrowed while it sleeps.
    match PLACE.with_borrow(Clone::clone) {
        Some((simulation, Some(cpu))) => simulation.halt(cpu, work_pending),
        _ if work_pending() => {}
        _ => std::thread::sleep(Duration::from_millis(1)),
    }
}

/// Takes the interrupts that are pending for this thread's CPU.
pub fn interrupt_window() {
    here(|simulation, cpu| {
        let Some(cpu) = cpu else { return };
        let mut state = simulation.lock();
        simulation.take_interrupts(&mut state, cpu);
    });
}

/// Arms or disarms the timer of this thread's CPU.
pub fn arm_timer(deadline: Option<Instant>) {
    here(|simulation, cpu| {
        if let Some(cpu) = cpu {
            simulation.arm(cpu, deadline);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_jumps_to_the_earliest_timer_when_all_cpus_are_idle() {
        let simulation = Simulation::new(2, Clock::Virtual);
        let halt = |cpu: usize, deadline: u64| {
            let simulation = Arc::clone(&simulation);
            std::thread::spawn(move || {
                let _member = simulation.join(cpu);
                arm_timer(Some(Instant::from_nanos(deadline)));
                wait_for_interrupt(&|| false);
                now().as_nanos()
            })
        };
        let late = halt(0, 2_000_000_000_000);
        let early = halt(1, 1_000_000_000_000);
        let early = early.join().expect("the thread ends");
        assert!((1_000_000_000_000..1_000_000_100_000).contains(&early), "{early}");
        // CPU 1 does not halt again, so only a bell gets CPU 0 out.
        let outside = simulation.attach();
        kick(0);
        drop(outside);
        assert!(late.join().expect("the thread ends") < 1_000_001_000_000);
    }

    #[test]
    fn a_bell_that_rang_before_the_halt_is_heard() {
        let simulation = Simulation::new(1, Clock::Real);
        let _member = simulation.join(0);
        kick(0);
        wait_for_interrupt(&|| false);
        assert_eq!((cpu_id(), cpu_count()), (0, 1));
    }
}
