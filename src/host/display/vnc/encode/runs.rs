//! A piece of a picture as stretches of one colour, the rows one behind the other: what is flat is looked at once.

/// Pixels that are compared at a time.
const STEP: usize = 8;

#[derive(Default)]
pub struct Runs {
    colours: Vec<u32>,
    /// Pixels.
    lengths: Vec<u32>,
}

impl Runs {
    pub fn look<'a>(&mut self, rows: impl Iterator<Item = &'a [u32]>) {
        self.colours.clear();
        self.lengths.clear();
        // The run that goes on.
        let (mut colour, mut length) = (0, 0);
        for row in rows {
            let (steps, rest) = row.as_chunks::<STEP>();
            for step in steps {
                if *step == [colour; STEP] {
                    length += STEP as u32;
                } else {
                    step.iter().for_each(|pixel| self.pixel(*pixel, &mut colour, &mut length));
                }
            }
            rest.iter().for_each(|pixel| self.pixel(*pixel, &mut colour, &mut length));
        }
        self.end(colour, length);
    }

    fn pixel(&mut self, pixel: u32, colour: &mut u32, length: &mut u32) {
        if pixel == *colour {
            *length += 1;
        } else {
            self.end(*colour, *length);
            (*colour, *length) = (pixel, 1);
        }
    }

    fn end(&mut self, colour: u32, length: u32) {
        if length > 0 {
            self.colours.push(colour);
            self.lengths.push(length);
        }
    }

    /// Of each run.
    pub fn colours(&self) -> &[u32] {
        &self.colours
    }

    /// Colour and length of each.
    pub fn iter(&self) -> impl Iterator<Item = (u32, usize)> {
        self.colours.iter().copied().zip(self.lengths.iter().map(|length| *length as usize))
    }

    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// How many are of one pixel.
    pub fn single(&self) -> usize {
        self.lengths.iter().filter(|length| **length == 1).count()
    }
}
